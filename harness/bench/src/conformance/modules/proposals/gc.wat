(module
  (memory (export "memory") 1)
  (type $box (struct (field (mut i32))))
  (func (export "_start")
    (drop (struct.get $box 0 (struct.new $box (i32.const 1))))))
