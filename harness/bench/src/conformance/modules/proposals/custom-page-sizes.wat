(module
  (memory (export "memory") 65536 (pagesize 1))
  (func (export "_start")))
