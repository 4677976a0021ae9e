//! A limit of linear memory, and the memory of an instance that is still being made.

use std::cell::Cell;
use std::ptr::NonNull;
use std::slice;

use wasmer::sys::vm::{
    MemoryError, MemoryStyle, TableStyle, VMMemory, VMMemoryDefinition, VMTable, VMTableDefinition,
};
use wasmer::sys::{BaseTunables, Target, Tunables};
use wasmer::{MemoryType, Pages, TableType, WASM_PAGE_SIZE};

/// wasmer's own ways to make memories and tables, but for the most that a memory may grow to.
#[derive(Clone)]
pub struct MemoryLimit {
    base: BaseTunables,
    most: Pages,
}

impl MemoryLimit {
    /// Memories of at most so many bytes.
    pub fn new(bytes: u64) -> Self {
        let pages = u32::try_from(bytes / WASM_PAGE_SIZE as u64).unwrap_or(u32::MAX);
        Self {
            base: BaseTunables::for_target(&Target::default()),
            most: Pages(pages).min(Pages::max_value()),
        }
    }

    /// A memory that asks for more at once is refused by wasmer itself, since its least size is
    /// then above its most.
    fn limited(&self, memory: &MemoryType) -> MemoryType {
        let maximum = memory.maximum.map_or(self.most, |maximum| maximum.min(self.most));
        MemoryType { maximum: Some(maximum), ..*memory }
    }
}

thread_local! {
    /// Where an instance that this thread makes has its memory, until it is made: wasmer gives the
    /// memory away when the start section has run, which may call the host.
    static IN_THE_MAKING: Cell<Option<NonNull<VMMemoryDefinition>>> = const { Cell::new(None) };
}

/// Makes an instance; of its memory, [`in_the_making`] knows meanwhile.
pub fn making<T>(instance: impl FnOnce() -> T) -> T {
    let made = instance();
    IN_THE_MAKING.set(None);
    made
}

/// The memory of the instance that this thread is making; none where it makes none.
///
/// # Safety
/// Only code of that instance has called the host, and goes on when the bytes are given back.
pub unsafe fn in_the_making<'m>() -> Option<&'m mut [u8]> {
    let definition = IN_THE_MAKING.get()?;
    // SAFETY: the instance is being made, so its description lives. It waits for the host.
    unsafe {
        let VMMemoryDefinition { base, current_length } = *definition.as_ptr();
        Some(slice::from_raw_parts_mut(base, current_length))
    }
}

impl Tunables for MemoryLimit {
    // The style is compiled into the code. It is that of the module's own maximum, so that code
    // does not depend on the limit that it is compiled under.
    fn memory_style(&self, memory: &MemoryType) -> MemoryStyle {
        self.base.memory_style(memory)
    }

    fn table_style(&self, table: &TableType) -> TableStyle {
        self.base.table_style(table)
    }

    fn create_host_memory(
        &self,
        memory: &MemoryType,
        style: &MemoryStyle,
    ) -> Result<VMMemory, MemoryError> {
        self.base.create_host_memory(&self.limited(memory), style)
    }

    unsafe fn create_vm_memory(
        &self,
        memory: &MemoryType,
        style: &MemoryStyle,
        definition: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        // SAFETY: the caller's promise about the definition is the one that is asked for.
        let made = unsafe { self.base.create_vm_memory(&self.limited(memory), style, definition) };
        IN_THE_MAKING.set(made.is_ok().then_some(definition));
        made
    }

    fn create_host_table(&self, table: &TableType, style: &TableStyle) -> Result<VMTable, String> {
        self.base.create_host_table(table, style)
    }

    unsafe fn create_vm_table(
        &self,
        table: &TableType,
        style: &TableStyle,
        definition: NonNull<VMTableDefinition>,
    ) -> Result<VMTable, String> {
        // SAFETY: as above.
        unsafe { self.base.create_vm_table(table, style, definition) }
    }
}

#[cfg(all(test, feature = "compiler"))]
mod tests {
    use lumos_bench::Limits;
    use wasmer::{Imports, Instance, Store};

    use crate::tests::MEMORY;
    use crate::{Mode, compiler};

    /// An instance of a module with a memory of one page, where so many pages are allowed.
    fn instantiate(pages: u64) -> anyhow::Result<(Store, Instance)> {
        let limits = Limits { memory_bytes: pages << 16, ..Limits::default() };
        let engine = crate::engine("wasmer-jit", &limits)?;
        let engine = engine.engine_of_module(compiler::builder(Mode::Jit, false));
        let module = compiler::compile(&engine, MEMORY)?;
        let mut store = Store::new(engine);
        let instance = Instance::new(&mut store, &module, &Imports::new())?;
        Ok((store, instance))
    }

    #[test]
    fn a_memory_grows_to_the_limit_and_no_further() {
        let (mut store, instance) = instantiate(3).unwrap();
        let memory = instance.exports.get_memory("memory").unwrap();
        assert!(memory.grow(&mut store, 3).is_err());
        memory.grow(&mut store, 2).unwrap();
        assert!(memory.grow(&mut store, 1).is_err());
    }

    #[test]
    fn a_memory_that_begins_above_the_limit_is_refused() {
        assert!(instantiate(1).is_ok());
        let message = instantiate(0).err().unwrap().to_string();
        assert!(message.contains("memory"), "{message}");
    }
}
