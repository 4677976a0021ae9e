;; Exits with how many of the three streams are character devices, as a terminal is.
(module
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func $is (param $fd i32) (result i32)
    (drop (call $stat (local.get $fd) (i32.const 64)))
    (i32.eq (i32.load8_u (i32.const 64)) (i32.const 2)))
  (func (export "_start")
    (call $exit
      (i32.add
        (i32.add (call $is (i32.const 0)) (call $is (i32.const 1)))
        (call $is (i32.const 2))))))
