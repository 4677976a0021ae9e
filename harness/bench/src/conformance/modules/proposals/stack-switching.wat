(module
  (memory (export "memory") 1)
  (type $none (func))
  (type $rest (cont $none))
  (func $called)
  (elem declare func $called)
  (func (export "_start") (resume $rest (cont.new $rest (ref.func $called)))))
