;; Calls itself as often as it reads.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\04\00\00\00")
  (func $deep (param $left i32) (result i32)
    (if (result i32) (local.get $left)
      (then
        (i32.add (i32.const 1) (call $deep (i32.sub (local.get $left) (i32.const 1)))))
      (else (i32.const 0))))
  (func (export "_start")
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (if (i32.ne (call $deep (i32.load (i32.const 16))) (i32.load (i32.const 16)))
      (then unreachable))))
