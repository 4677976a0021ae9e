//! How much of a file is code.

use object::{Object, ObjectSection};
use wasmparser::{Parser, Payload};

/// The bytes of code in a file: of an ELF file the section `.text`, which engines that precompile
/// to ELF have as well; of a Wasm module the code section. None for any other file.
pub fn bytes(file: &[u8]) -> Option<u64> {
    if file.starts_with(b"\0asm") {
        return wasm_code(file);
    }
    let file = object::File::parse(file).ok()?;
    Some(file.section_by_name(".text")?.size())
}

/// The size of a module's code section.
fn wasm_code(module: &[u8]) -> Option<u64> {
    let sections = Parser::new(0).parse_all(module).map_while(Result::ok);
    sections.into_iter().find_map(|section| match section {
        Payload::CodeSectionStart { range, .. } => Some((range.end - range.start) as u64),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_section_of_a_module_is_found_behind_others() {
        // A custom section of 3 bytes, then a code section whose size takes two bytes to write.
        let module = [b"\0asm\x01\0\0\0", &[0, 3, 1, 1, 1][..], &[10, 0x80, 0x01]].concat();
        assert_eq!(bytes(&[module, vec![0; 128]].concat()), Some(128));
        assert_eq!(bytes(b"\0asm\x01\0\0\0"), None);
        assert_eq!(bytes(b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff"), None);
    }

    #[test]
    fn this_program_has_code_and_a_text_file_has_none() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let text = bytes(&program).unwrap();
        assert!(text > 100_000 && text < program.len() as u64, "{text}");
        assert_eq!(bytes(b"no code"), None);
    }
}
