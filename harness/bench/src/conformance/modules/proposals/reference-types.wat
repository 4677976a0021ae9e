(module
  (memory (export "memory") 1)
  (table 1 externref)
  (func (export "_start") (table.set 0 (i32.const 0) (ref.null extern))))
