//! The worker, and the WASI command, of `html-template`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<html_template_guest::HtmlTemplate>()
}
