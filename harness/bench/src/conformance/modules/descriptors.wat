;; Exits with how many descriptors from 3 to 1023 are open.
(module
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $fd i32) (local $open i32)
    (local.set $fd (i32.const 3))
    (loop $next
      (if (i32.eqz (call $stat (local.get $fd) (i32.const 64)))
        (then (local.set $open (i32.add (local.get $open) (i32.const 1)))))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $fd) (i32.const 1024))))
    (call $exit (local.get $open))))
