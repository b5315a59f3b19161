//! What is said of a panic: where it was. Its words may hold anything, a secret or a person's data, and are left out.

use std::panic::PanicHookInfo;

/// Logs where a panic was.
pub(super) fn log(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(
        thread = thread.name().unwrap_or_default(),
        place,
        "a part of the program failed: this is a fault in it"
    );
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::panic::{catch_unwind, set_hook, take_hook};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_logged_with_its_place_and_without_its_words() {
        let (here, others) = (std::thread::current().id(), take_hook());
        set_hook(Box::new(
            move |panic| {
                if std::thread::current().id() == here { log(panic) } else { others(panic) }
            },
        ));
        let lines = Lines::default();
        let written = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || written.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let _ = catch_unwind(|| panic!("the token is {}", "geheim-1"));
        });
        let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(said.contains("src/cli/panics.rs:"), "{said}");
        assert!(!said.contains("geheim") && !said.contains("token"), "{said}");
    }
}
