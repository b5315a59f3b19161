//! Time zones by name, from the machine's own files. Asking the library for one makes it list all six hundred first,
//! which is a third of the time until the service listens.

use std::path::Path;

use jiff::tz::TimeZone;

/// Where Linux keeps them.
const FOLDER: &str = "/usr/share/zoneinfo";
/// The machine's own zone: a link to one of those.
const LOCAL: &str = "/etc/localtime";

/// A zone by its IANA name; the ones that came with the program where the machine has none.
pub(super) fn named(name: &str) -> Result<TimeZone, String> {
    let known = from_file(name).map_or_else(|| TimeZone::get(name), Ok);
    known.map_err(|_| format!("`{name}` is no time zone; use an IANA name such as Europe/Vienna"))
}

/// The zone of this machine.
pub(super) fn of_this_machine() -> TimeZone {
    let link = || std::fs::read_link(LOCAL).ok().filter(|_| std::env::var_os("TZ").is_none());
    let name = link().and_then(|to| Some(to.to_str()?.split_once("zoneinfo/")?.1.to_owned()));
    name.and_then(|name| from_file(&name)).unwrap_or_else(TimeZone::system)
}

fn from_file(name: &str) -> Option<TimeZone> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+');
    if std::env::var_os("TZDIR").is_some() || !name.bytes().all(is_plain) || name.starts_with('/') {
        return None;
    }
    TimeZone::tzif(name, &std::fs::read(Path::new(FOLDER).join(name)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_the_same_by_either_way_and_no_other_file_is_one() {
        for name in ["Europe/Vienna", "Australia/Lord_Howe", "Etc/GMT+5", "UTC"] {
            assert_eq!(named(name).unwrap().iana_name(), Some(name));
            for at in ["2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"] {
                let at: jiff::Timestamp = at.parse().unwrap();
                let offset = TimeZone::get(name).unwrap().to_offset(at);
                assert_eq!(named(name).unwrap().to_offset(at), offset, "{name} at {at}");
            }
        }
        assert_eq!(named("europe/vienna").unwrap().iana_name(), Some("Europe/Vienna"));
        for wrong in
            ["", "Vienna", "../../../etc/passwd", "/etc/localtime", "Europe", "tzdata.zi", "Europe/Vienna\0"]
        {
            assert!(named(wrong).is_err(), "{wrong}");
        }
        let now = "2026-11-28T12:00:00Z".parse().unwrap();
        assert_eq!(of_this_machine().to_offset(now), TimeZone::system().to_offset(now));
    }
}
