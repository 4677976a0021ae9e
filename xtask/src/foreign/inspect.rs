//! What a module tells of itself before anything is compiled: whether it is a command that can run
//! here, and what it takes.

use anyhow::{Context, Result, bail, ensure};
use lumos_abi::preview_1;
use lumos_build::toolchain::WASM;
use lumos_record::shown;
use wasmparser::types::{CoreTypeId, EntityType, TypesRef};
use wasmparser::{Encoding, FuncType, Parser, Payload, ValType, Validator, WasmFeatures};

/// What a module takes of an engine.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// The proposals for WebAssembly that it uses, of those that were asked for.
    pub proposals: Vec<String>,
    /// The bytes of its memories at its start.
    pub memory_bytes: u64,
}

/// What a WASI command exports.
const START: &str = "_start";

/// Looks at a module; of the proposals that it uses, those of `asked` are told.
///
/// # Errors
/// When it is no WASI command, or one that no engine could run: the message says why.
pub fn inspect(module: &[u8], asked: &[&str]) -> Result<Inspected> {
    ensure!(
        module.starts_with(b"\0asm"),
        "this is no WebAssembly: it does not begin with `\\0asm` (text has to be assembled first)"
    );
    if let Some(Ok(Payload::Version { encoding: Encoding::Component, .. })) =
        Parser::new(0).parse_all(module).next()
    {
        bail!(
            "this is a component (WASI preview 2), and Lumos runs core modules (WASI preview 1): \
             build it for {WASM}"
        );
    }
    let all = WasmFeatures::all();
    let types = validate(module, all).context("the module is malformed")?;
    let types = types.as_ref();
    check_imports(types)?;
    check_start(types)?;
    let memories = (0..types.memory_count()).map(|index| types.memory_at(index));
    let bytes = |memory: wasmparser::MemoryType| {
        let page_bytes = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
        memory.initial.saturating_mul(page_bytes)
    };
    Ok(Inspected {
        proposals: proposals(module, asked)?,
        memory_bytes: memories.map(bytes).fold(0, u64::saturating_add),
    })
}

fn validate(module: &[u8], features: WasmFeatures) -> wasmparser::Result<wasmparser::types::Types> {
    Validator::new_with_features(features).validate_all(module)
}

/// Of some proposals, those without which a module is not valid.
fn proposals(module: &[u8], asked: &[&str]) -> Result<Vec<String>> {
    let all = WasmFeatures::all();
    let flags = asked.iter().map(|&name| {
        let flag = WasmFeatures::from_name(&name.to_uppercase().replace('-', "_"));
        Ok((name, flag.with_context(|| format!("there is no proposal `{name}`"))?))
    });
    let flags = flags.collect::<Result<Vec<_>>>()?;
    // Most modules use none, which is soon seen.
    let least = flags.iter().fold(all, |rest, (_, flag)| rest - *flag);
    if validate(module, least).is_ok() {
        return Ok(Vec::new());
    }
    let used = flags.into_iter().filter(|(_, flag)| validate(module, all - *flag).is_err());
    Ok(used.map(|(name, _)| name.to_owned()).collect())
}

fn check_imports(types: TypesRef<'_>) -> Result<()> {
    for (module, name, entity) in types.core_imports().into_iter().flatten() {
        let what = shown(&format!("{module}.{name}"));
        let EntityType::Func(id) = entity else {
            bail!(
                "the module imports {} `{what}`, and a command gets functions of WASI preview 1 \
                 alone",
                kind(entity)
            );
        };
        let known = preview_1::signature(name).filter(|_| module == preview_1::MODULE);
        let Some((parameters, result)) = known else {
            bail!(
                "the module imports `{what}`, which is no function of WASI preview 1: no engine \
                 offers it here"
            );
        };
        let own = function(types, id).map(signature);
        let expected = show(&parameters.join(", "), result.unwrap_or_default());
        ensure!(
            own.as_ref() == Some(&expected),
            "the module imports `{what}` as {}, and in WASI preview 1 it is {expected}",
            own.unwrap_or_default()
        );
    }
    Ok(())
}

fn check_start(types: TypesRef<'_>) -> Result<()> {
    let exports: Vec<(&str, EntityType)> = types.core_exports().into_iter().flatten().collect();
    let Some((_, start)) = exports.iter().find(|(name, _)| *name == START) else {
        let names: Vec<&str> = exports.iter().map(|(name, _)| *name).collect();
        let list = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        bail!("this is no WASI command: it exports no `{START}`, but {}", shown(&list));
    };
    let EntityType::Func(id) = start else {
        bail!("this is no WASI command: its `{START}` is {}", kind(*start));
    };
    let own = function(types, *id).map(signature).unwrap_or_default();
    let expected = show("", "");
    ensure!(
        own == expected,
        "this is no WASI command: its `{START}` is {own}, and a command's is {expected}"
    );
    Ok(())
}

/// What an import or export is that is no function.
const fn kind(entity: EntityType) -> &'static str {
    match entity {
        EntityType::Func(_) | EntityType::FuncExact(_) => "a function",
        EntityType::Table(_) => "a table",
        EntityType::Memory(_) => "a memory",
        EntityType::Global(_) => "a global",
        EntityType::Tag(_) => "a tag",
    }
}

fn function(types: TypesRef<'_>, id: CoreTypeId) -> Option<&FuncType> {
    match &types.get(id)?.composite_type.inner {
        wasmparser::CompositeInnerType::Func(function) => Some(function),
        _ => None,
    }
}

fn signature(function: &FuncType) -> String {
    let names = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>();
    show(&names(function.params()).join(", "), &names(function.results()).join(", "))
}

fn show(parameters: &str, results: &str) -> String {
    format!("({parameters}) -> ({results})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_command_is_refused_with_what_it_is() {
        let complaint = |bytes: &[u8]| format!("{:#}", inspect(bytes, &[]).unwrap_err());
        assert!(complaint(b"#!/bin/sh").contains("no WebAssembly"));
        assert!(complaint(b"").contains("no WebAssembly"));
        assert!(complaint(b"\0asm\x0d\0\x01\0").contains("component"));
        assert!(complaint(b"\0asm\x01\0\0\0").contains("exports no `_start`, but nothing"));
        let memory = b"\0asm\x01\0\0\0\x05\x03\x01\0\x01\x07\x0a\x01\x06memory\x02\0";
        assert!(complaint(memory).contains("exports no `_start`, but memory"));
        assert!(complaint(&memory[..20]).contains("malformed"));
    }
}
