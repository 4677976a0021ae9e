//! Prints the node's fingerprint and its noise as JSON, for `cargo xtask doctor`.

fn main() -> Result<(), serde_json::Error> {
    let node = lumos_bench::node::fingerprint();
    let noise = lumos_bench::node::noise();
    serde_json::to_writer_pretty(
        std::io::stdout().lock(),
        &serde_json::json!({ "node": node, "noise_ratio": noise }),
    )?;
    println!();
    Ok(())
}
