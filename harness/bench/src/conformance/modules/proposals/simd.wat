(module
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (i32x4.add (v128.const i32x4 1 2 3 4) (v128.const i32x4 4 3 2 1)))))
