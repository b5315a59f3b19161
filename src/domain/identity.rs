//! When two posts are the same match, and when they are probably the same job.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use url::Url;
use uuid::Uuid;

use super::{JobMatch, hex};

/// Query parameters that tell where a visitor came from, not what they see.
const TRACKING: [&str; 32] = [
    "_ga",
    "_gl",
    "_hsenc",
    "_hsmi",
    "at_campaign",
    "at_medium",
    "dclid",
    "epik",
    "fbclid",
    "gad_source",
    "gbraid",
    "gclid",
    "gclsrc",
    "igsh",
    "igshid",
    "li_fat_id",
    "mc_cid",
    "mc_eid",
    "mkt_tok",
    "msclkid",
    "refid",
    "sccid",
    "spm",
    "srsltid",
    "trackingid",
    "trk",
    "ttclid",
    "twclid",
    "vero_id",
    "wbraid",
    "wt_mc",
    "yclid",
];
/// How the names of others begin.
const TRACKING_BEGINS: [&str; 3] = ["utm_", "mtm_", "pk_"];

/// What makes a match this one and no other: 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

/// By what it is told whether two posts are the same match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The portal and its own id.
    Reference,
    /// The canonical address.
    Url,
    /// Title, company and location together.
    Role,
}

impl Basis {
    /// What decides about a match, and what that says of it; none where it has nothing of the kind.
    fn of(job: &JobMatch) -> Option<(Self, Vec<String>)> {
        if let (Some(source), Some(id)) = (&job.source, &job.external_id) {
            return Some((Self::Reference, vec![source.clone(), id.clone()]));
        }
        if let Some(url) = &job.url {
            return Some((Self::Url, vec![canonical_url(url.url())]));
        }
        let words = |text: &Option<String>| text.as_deref().map(normalise).filter(|words| !words.is_empty());
        let (title, company, location) =
            (normalise_role(&job.title), words(&job.company)?, words(&job.location)?);
        (!title.is_empty()).then(|| (Self::Role, vec![title, company, location]))
    }

    /// How it goes into a fingerprint.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Reference => "external_id",
            Self::Url => "url",
            Self::Role => "role",
        }
    }
}

impl Fingerprint {
    /// The fingerprint of a match.
    ///
    /// `source` + `external_id` decide; without both, the canonical address does; without that, normalised title,
    /// company and location together. A missing value equals nothing, so a match that has none of the three is only
    /// ever itself: `nonce`, made when it was staged, stands for it.
    pub fn of(job: &JobMatch, nonce: Uuid) -> Self {
        match Basis::of(job) {
            Some((basis, parts)) => Self::hash(basis.as_str(), &parts),
            None => Self::hash("nonce", &[nonce.to_string()]),
        }
    }

    /// What a match has the same fingerprint by as another; none where no other has.
    pub fn basis(job: &JobMatch) -> Option<Basis> {
        Basis::of(job).map(|(basis, _)| basis)
    }

    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A fingerprint that was written down; none where it is no such.
    pub fn written(digits: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (digits.len() == 64 && digits.bytes().all(is_digit)).then(|| Self(digits.to_owned()))
    }

    /// Whether a later post of a match would have the same: one that has neither source and number, nor address, nor
    /// title with company and location, is only ever itself.
    pub fn is_found_again(job: &JobMatch) -> bool {
        Self::basis(job).is_some()
    }

    fn hash(kind: &str, parts: &[String]) -> Self {
        let mut hash = Sha256::new();
        for part in std::iter::once(kind).chain(parts.iter().map(String::as_str)) {
            // With its length before it, no part can run over into the next.
            hash.update(part.len().to_be_bytes());
            hash.update(part.as_bytes());
        }
        Self(hex(hash.finalize()))
    }
}

/// The part of a match that finds the same job at the same end client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Role and end client, normalised: equal where the job is the same.
    pub key: String,
    /// Through whom it was offered, normalised.
    pub agency: Option<String>,
}

impl Role {
    /// The role of a match; none where role or end client is unknown, for the unknown equals nothing.
    ///
    /// Where only one of agency and end client is given, the company stands for the other.
    pub fn of(job: &JobMatch) -> Option<Self> {
        let words =
            |text: Option<&String>| text.map(|text| normalise(text)).filter(|words| !words.is_empty());
        let company = job.company.as_ref();
        let client = job.end_client.as_ref().or(company.filter(|_| job.agency.is_some()));
        let agency = job.agency.as_ref().or(company.filter(|_| job.end_client.is_some()));
        let (title, client) = (normalise_role(&job.title), words(client)?);
        (!title.is_empty()).then(|| Self { key: format!("{title}\n{client}"), agency: words(agency) })
    }

    /// Whether this is the same job as `other`, offered through another agency.
    pub fn is_possible_duplicate_of(&self, other: &Self) -> bool {
        self.key == other.key && self.agency != other.agency
    }
}

/// An address without what does not tell two advertisements apart: scheme, `www.`, a trailing slash, the fragment,
/// tracking parameters and the order of the others.
pub fn canonical_url(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    let host = host.strip_prefix("www.").unwrap_or(host);
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mut query: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| {
            let name = name.to_ascii_lowercase();
            !TRACKING_BEGINS.iter().any(|begin| name.starts_with(begin)) && !TRACKING.contains(&name.as_str())
        })
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    query.sort();
    let query = query.iter().fold(String::new(), |query, (name, value)| format!("{query}\n{name}={value}"));
    format!("{host}{port}{}{query}", url.path().trim_end_matches('/'))
}

/// The places of matches that came together, those of the same match side by side and in their order: of two equal ones
/// the first is to be staged, and the second to find it. What is no match is its own.
pub fn one_after_the_other<E>(matches: &[Result<JobMatch, E>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut by_identity: HashMap<Fingerprint, usize> = HashMap::new();
    for (index, job) in matches.iter().enumerate() {
        let identity = job.as_ref().ok().map(|job| Fingerprint::of(job, Uuid::from_u128(index as u128)));
        let known = identity.as_ref().and_then(|identity| by_identity.get(identity)).copied();
        match known {
            Some(group) => groups[group].push(index),
            None => {
                by_identity.extend(identity.map(|identity| (identity, groups.len())));
                groups.push(vec![index]);
            }
        }
    }
    groups
}

/// Words in lower case, compatibility forms folded, without punctuation: `Müller & Söhne GmbH` and
/// `MÜLLER  &  SÖHNE, GmbH` agree.
fn normalise(text: &str) -> String {
    let folded: String = text.nfkc().flat_map(char::to_lowercase).collect();
    let words = folded.split(|c: char| !(c.is_alphanumeric() || matches!(c, '+' | '#')));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// [`normalise`] without the markers `(m/w/d)`, `(all genders)` and their like.
fn normalise_role(title: &str) -> String {
    let mut role = String::with_capacity(title.len());
    let mut rest = title;
    while let Some((before, after)) = rest.split_once('(') {
        role.push_str(before);
        role.push(' ');
        rest = match after.split_once(')') {
            Some((inside, behind)) if is_gender_marker(inside) => behind,
            _ => after,
        };
    }
    role.push_str(rest);
    normalise(&role)
}

fn is_gender_marker(inside: &str) -> bool {
    let words = normalise(inside);
    matches!(words.as_str(), "all genders" | "alle geschlechter" | "gn" | "all gender")
        || (!words.is_empty()
            && words.split(' ').all(|word| matches!(word, "m" | "w" | "d" | "f" | "x" | "div" | "i")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn job(edit: impl FnOnce(&mut JobMatch)) -> JobMatch {
        let mut job = JobMatch::titled("Cloud Architect");
        edit(&mut job);
        job
    }

    fn fingerprint(edit: impl FnOnce(&mut JobMatch)) -> Fingerprint {
        Fingerprint::of(&job(edit), Uuid::new_v4())
    }

    fn url(text: &str) -> Fingerprint {
        fingerprint(|job| job.url = Some(text.to_owned().try_into().unwrap()))
    }

    #[test]
    fn source_and_external_id_decide_before_the_address() {
        let with = |id: &str, address: &str| {
            fingerprint(|job| {
                job.source = Some("portal".into());
                job.external_id = Some(id.into());
                job.url = Some(address.to_owned().try_into().unwrap());
            })
        };
        assert_eq!(with("1", "https://a.example/1"), with("1", "https://b.example/2"));
        assert_ne!(with("1", "https://a.example/1"), with("2", "https://a.example/1"));
    }

    #[test]
    fn addresses_agree_apart_from_what_does_not_tell_them_apart() {
        let plain = url("https://jobs.example/a/1?id=7&page=2");
        for same in [
            "http://www.jobs.example/a/1/?id=7&page=2",
            "https://JOBS.example:443/a/1?page=2&id=7#apply",
            "https://jobs.example/a/1?utm_source=x&id=7&gclid=3&page=2&trk=mail",
        ] {
            assert_eq!(url(same), plain, "{same}");
        }
        for other in ["https://jobs.example/a/2?id=7&page=2", "https://jobs.example/a/1?id=8&page=2"] {
            assert_ne!(url(other), plain, "{other}");
        }
    }

    #[test]
    fn title_company_and_location_agree_in_any_spelling_and_missing_never_does() {
        let role = |title: &str, company: Option<&str>, location: Option<&str>| {
            let mut job = JobMatch::titled(title);
            (job.company, job.location) = (company.map(Into::into), location.map(Into::into));
            Fingerprint::of(&job, Uuid::new_v4())
        };
        assert_eq!(
            role("Cloud Architect (m/w/d)", Some("Müller & Söhne"), Some("Wien")),
            role("cloud  ARCHITECT", Some("MU\u{308}LLER & SO\u{308}HNE"), Some("wien."))
        );
        assert_ne!(
            role("Cloud Architect (AWS)", Some("A"), Some("Wien")),
            role("Cloud Architect (Azure)", Some("A"), Some("Wien"))
        );
        assert_ne!(role("Dev", None, Some("Wien")), role("Dev", None, Some("Wien")));
        assert_ne!(role("Dev", Some("A"), None), role("Dev", Some("A"), None));
        assert_ne!(role("Dev", Some("–"), Some("Wien")), role("Dev", Some("–"), Some("Wien")));
        assert_ne!(role("C++", Some("A"), Some("Wien")), role("C#", Some("A"), Some("Wien")));
    }

    #[test]
    fn the_same_role_at_the_same_client_through_another_agency_is_a_possible_duplicate() {
        let role = |agency: Option<&str>, company: Option<&str>, client: Option<&str>| {
            Role::of(&job(|job| {
                job.agency = agency.map(Into::into);
                job.company = company.map(Into::into);
                job.end_client = client.map(Into::into);
            }))
        };
        let first = role(Some("Hays"), None, Some("Wiener Netze")).unwrap();
        assert!(
            role(None, Some("Amoria Bond"), Some("WIENER NETZE")).unwrap().is_possible_duplicate_of(&first)
        );
        assert!(
            role(Some("Amoria Bond"), Some("Wiener Netze"), None).unwrap().is_possible_duplicate_of(&first)
        );
        assert!(!role(Some("HAYS"), None, Some("Wiener Netze")).unwrap().is_possible_duplicate_of(&first));
        assert!(!role(Some("Amoria Bond"), None, Some("ÖBB")).unwrap().is_possible_duplicate_of(&first));
        assert_eq!(role(None, Some("Amoria Bond"), None), None);
    }

    proptest! {
        #[test]
        fn no_text_breaks_it_and_the_same_text_gives_the_same(title in ".*", company in ".+", location in ".+") {
            let mut job = JobMatch::titled(title);
            (job.company, job.location) = (Some(company), Some(location));
            let nonce = Uuid::new_v4();
            prop_assert_eq!(Fingerprint::of(&job, nonce), Fingerprint::of(&job, nonce));
            prop_assert_eq!(Role::of(&job), Role::of(&job));
        }
    }
}
