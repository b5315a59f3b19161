//! Notices to send: kind ones from the demo, and hostile ones.

use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;
use vorhoelle::domain::job_match::{Contact, Rate, Remote, Score, Skills};
use vorhoelle::domain::{JobMatch, Language, posted_match};
use vorhoelle::notify::{Notice, NoticeKind, NoticeMatch};

pub const LANGUAGES: [(Language, &str); 2] = [(Language::De, "de"), (Language::En, "en")];

/// A notice about these matches.
pub fn notice(kind: NoticeKind, language: Language, matches: Vec<NoticeMatch>) -> Notice {
    Notice {
        kind,
        language,
        matches,
        list_url: "https://gitlab.example/acme/jobs/-/issues?label_name[]=job-match/pending&state=opened"
            .into(),
        inbox_url: Some("https://jobs.example/".into()),
    }
}

/// Each kind as it is sent, with its name.
pub fn each_kind(language: Language) -> Vec<(&'static str, Notice)> {
    let demo = demo();
    let with_links = demo.iter().take(1).cloned().map(with_links).collect();
    vec![
        ("match", notice(NoticeKind::Match, language, demo[..1].to_vec())),
        ("match with links", notice(NoticeKind::Match, language, with_links)),
        ("bare match", notice(NoticeKind::Match, language, vec![about(JobMatch::titled("Rust"), 40)])),
        ("digest", notice(NoticeKind::Digest, language, demo.clone())),
        ("reminder of one", notice(NoticeKind::Reminder, language, demo[..1].to_vec())),
        ("reminder", notice(NoticeKind::Reminder, language, demo[..3].to_vec())),
        ("quiet", notice(NoticeKind::Quiet { since: SignedDuration::from_hours(72) }, language, vec![])),
        ("test", notice(NoticeKind::Test, language, vec![])),
    ]
}

/// The demo's matches, the best first; the first may be the third's duplicate.
pub fn demo() -> Vec<NoticeMatch> {
    let matches: Vec<Value> = serde_json::from_str(include_str!("../../config/demo-matches.json")).unwrap();
    let mut matches: Vec<NoticeMatch> =
        (12..).zip(matches).map(|(iid, job)| about(posted_match::parse(job).unwrap(), iid)).collect();
    matches[0].possible_duplicates = vec![14];
    matches
}

pub fn about(job: JobMatch, iid: u64) -> NoticeMatch {
    NoticeMatch {
        iid,
        web_url: format!("https://gitlab.example/acme/jobs/-/issues/{iid}"),
        job,
        possible_duplicates: vec![],
        waiting: SignedDuration::from_hours(62 - i64::try_from(iid).unwrap()),
        approve_url: None,
        reject_url: None,
    }
}

pub fn with_links(shown: NoticeMatch) -> NoticeMatch {
    let link = |what: &str| Some(format!("https://jobs.example/a/{what}.{}?to={what}&v=1", "t".repeat(120)));
    NoticeMatch { approve_url: link("approve"), reject_url: link("reject"), ..shown }
}

/// What people with bad intentions write into advertisements.
const ATTACKS: [&str; 30] = [
    "<!channel>",
    "<!here|x>",
    "<@U123ABC>",
    "<#C123>",
    "<https://evil.example|GitLab>",
    "<!date^1392734382^{date}^https://evil.example|x>",
    "<mailto:x@evil.example|x>",
    "*evil*",
    "_evil_",
    "~evil~",
    "`evil`",
    "```evil```",
    ":tada:",
    ":100:",
    "https://evil.example/a",
    "www.evil.example",
    "evil.example",
    "x@evil.example",
    "@channel",
    "@everyone",
    "#general",
    "> evil",
    "- evil",
    "\u{202E}live\u{202C}",
    "\u{2066}\u{2069}",
    "\0\u{1b}[31m",
    "\r\n\r\n",
    "&amp;lt;!channel&gt;",
    "e\u{301}\u{301}\u{301}👨\u{200D}👩\u{200D}👧",
    " ",
];

fn text(longest: usize) -> BoxedStrategy<String> {
    let cut = move |text: String| text.chars().take(longest).collect::<String>();
    prop_oneof![
        any::<String>().prop_map(cut),
        prop::collection::vec(select(&ATTACKS[..]), 0..12).prop_map(|parts| parts.concat()).prop_map(cut),
        prop::collection::vec(select(&ATTACKS[..]), 0..12).prop_map(|parts| parts.join(" ")).prop_map(cut),
        (select(&ATTACKS[..]), 0..=longest).prop_map(|(part, times)| part.repeat(times)).prop_map(cut),
        (any::<char>(), 0..=longest).prop_map(|(c, times)| c.to_string().repeat(times)),
    ]
    .boxed()
}

fn skills() -> BoxedStrategy<Vec<String>> {
    prop_oneof![
        prop::collection::vec(text(200), 0..6),
        (text(200), 0..500_usize).prop_map(|(skill, times)| vec![skill; times]),
    ]
    .boxed()
}

fn job() -> BoxedStrategy<JobMatch> {
    let lines = prop::collection::vec(prop::option::of(text(1_000)), 9);
    let score = prop::option::of((0..=100_u8).prop_map(|percent| Score::new(f64::from(percent)).unwrap()));
    // What is posted has at most 20,000; an imported row or an edited issue may hold more.
    let summary = prop::option::of(text(200_000));
    (text(255), lines, score, skills(), skills(), summary)
        .prop_map(|(title, lines, score, matched, missing, summary)| {
            let mut lines = lines.into_iter();
            let mut line = move || lines.next().flatten();
            JobMatch {
                company: line(),
                agency: line(),
                end_client: line(),
                location: line(),
                remote: line().map(Remote::Text),
                rate: line().map(Rate::Text),
                start: line(),
                duration: line(),
                contact: Some(Contact { name: line(), ..Contact::default() }),
                score,
                skills: Skills { matched, missing },
                summary,
                deadline: Some("2026-12-11".parse().unwrap()),
                ..JobMatch::titled(title)
            }
        })
        .boxed()
}

/// Any notice about any matches, a few or many of the same.
pub fn hostile() -> BoxedStrategy<Notice> {
    const KINDS: [NoticeKind; 3] = [NoticeKind::Match, NoticeKind::Digest, NoticeKind::Reminder];
    let matches = prop_oneof![
        job().prop_map(|job| vec![job]),
        prop::collection::vec(job(), 0..4),
        (job(), 0..60_usize).prop_map(|(job, times)| vec![job; times]),
    ];
    (select(&KINDS[..]), select(&LANGUAGES[..]), matches, any::<bool>(), 0..200_u64)
        .prop_map(|(kind, (language, _), jobs, links, duplicates)| {
            let matches = (1..).zip(jobs).map(|(iid, job)| {
                let shown = NoticeMatch { possible_duplicates: (0..duplicates).collect(), ..about(job, iid) };
                if links { with_links(shown) } else { shown }
            });
            notice(kind, language, matches.collect())
        })
        .boxed()
}

/// A text without our own links: whatever of an attack is left in it, came from a match.
pub fn without_our_links(text: &str) -> String {
    let mut rest = text;
    let mut foreign = String::new();
    while let Some(at) = rest.find("https://gitlab.example/").or_else(|| rest.find("https://jobs.example/")) {
        let at = rest.find("https://jobs.example/").map_or(at, |other| at.min(other));
        foreign.push_str(rest[..at].strip_suffix('<').unwrap_or(&rest[..at]));
        let end = rest[at..].find(['|', '>', '\n', ' ']).map_or(rest.len(), |end| at + end);
        rest = &rest[end..];
        if let Some(label) = rest.strip_prefix('|') {
            let close = label.find('>').expect("a link ends");
            foreign.push_str(&label[..close]);
            rest = &label[close + 1..];
        }
    }
    foreign.push_str(rest);
    foreign
}

/// What must not be left of an attack, in any chat program.
pub fn assert_inert(foreign: &str) {
    for dangerous in [
        "://",
        "www.evil",
        "evil.example",
        "`",
        ":tada:",
        ":100:",
        "@channel",
        "@everyone",
        "#general",
        "\u{202E}",
        "\u{202C}",
        "\u{2066}",
        "\u{2069}",
        "\u{1b}",
        "\0",
    ] {
        assert!(!foreign.contains(dangerous), "`{dangerous}` in {foreign}");
    }
    // Marks inside of a word open nothing.
    let chars: Vec<char> = foreign.chars().collect();
    let is_word = |index: Option<usize>| {
        index.and_then(|index| chars.get(index)).is_some_and(|c| c.is_ascii_alphanumeric())
    };
    for (index, mark) in chars.iter().enumerate().filter(|(_, c)| matches!(c, '_' | '~')) {
        let inside = is_word(index.checked_sub(1)) && is_word(Some(index + 1));
        assert!(inside, "{mark} at the edge of a word in {foreign}");
    }
    for (at, _) in foreign.match_indices("*evil*") {
        assert!(foreign[..at].ends_with(|c: char| c.is_ascii_alphanumeric()), "bold in {foreign}");
    }
    for line in foreign.lines() {
        assert!(!line.starts_with("> ") && !line.starts_with("&gt;") && !line.starts_with("- "), "{line}");
    }
}
