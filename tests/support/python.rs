//! Libraries of another language, from PyPI, in an environment of their own.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests panic and print as tests do")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn works(python: &Path, arguments: &[&str]) -> bool {
    Command::new(python)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The interpreter of an environment with a package, made once; `None` without a `python3`. The version is fixed so that
/// a test fails for our reasons only.
pub fn environment(package: &str, version: &str) -> Option<PathBuf> {
    if !works(Path::new("python3"), &["--version"]) {
        println!("skipped: there is no python3");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package);
    let python = folder.join("bin/python");
    let check = format!("from importlib.metadata import version; assert version('{package}') == '{version}'");
    if !works(&python, &["-c", &check]) {
        let run = |command: &mut Command| {
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(Command::new(&python).args(pip).arg(format!("{package}=={version}")));
    }
    Some(python)
}
