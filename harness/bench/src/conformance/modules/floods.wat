;; Writes blocks of 64 KiB for ever to the stream that it reads the number of.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 3)
  (data (i32.const 0) "\10\00\00\00\04\00\00\00")
  (data (i32.const 32) "\00\00\01\00\00\00\01\00")
  (func (export "_start")
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (loop $again
      (drop
        (call $write (i32.load (i32.const 16)) (i32.const 32) (i32.const 1) (i32.const 8)))
      (br $again))))
