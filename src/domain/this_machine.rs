//! What is on this machine.

use url::{Host, Url};

/// Whether an address is on this machine: no proxy leads there, and nobody listens in between.
pub fn is_here(address: &Url) -> bool {
    match address.host() {
        Some(Host::Domain(name)) => name == "localhost",
        // Whoever listens on every address of a machine, as 0.0.0.0, is called by that too.
        Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unspecified(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_only_looks_so_is_elsewhere() {
        let is_here = |host: &str| is_here(&Url::parse(&format!("http://{host}:1/x")).unwrap());
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.8.7", "[::1]", "0.0.0.0"] {
            assert!(is_here(host), "{host}");
        }
        for host in ["127.example.com", "localhost.example.com", "10.0.0.1", "[::2]"] {
            assert!(!is_here(host), "{host}");
        }
    }
}
