(module
  (memory (export "memory") 1)
  (type $none (func))
  (func $called (type $none))
  (elem declare func $called)
  (func (export "_start") (call_ref $none (ref.func $called))))
