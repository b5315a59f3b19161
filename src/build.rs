//! How the program is linked.

use std::process::Command;

/// The first C library whose loader knows packed relocations.
const KNOWS_PACKED: (u32, u32) = (2, 36);

/// A release that runs with glibc packs the addresses that the loader sets right: a megabyte less is read at every start.
/// Older systems would refuse such a program, so it is made where the builder's own C library could run it.
fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    let is = |variable: &str, value: &str| std::env::var(variable).is_ok_and(|found| found == value);
    let for_glibc = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    if is("PROFILE", "release") && for_glibc && glibc().is_some_and(|version| version >= KNOWS_PACKED) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's glibc: the first line of `ldd --version` ends with it.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("ldd").arg("--version").output().ok()?.stdout;
    let said = String::from_utf8(said).ok()?;
    let (major, minor) = said.lines().next()?.rsplit(' ').next()?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
