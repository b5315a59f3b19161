//! A notice in the form of each channel.

mod mail;

pub use mail::{MailText, mail};

use jiff::SignedDuration;

use crate::domain::{JobMatch, Language};
use crate::notify::{Notice, NoticeKind, NoticeMatch};
use crate::templates::{TemplateError, Templates};

/// Renders a sample of every kind, so that a template that names something that is not there is an error at the start.
///
/// # Errors
///
/// The first template that cannot be rendered, with its line.
pub fn check(templates: &Templates) -> Result<(), TemplateError> {
    let since = SignedDuration::from_hours(72);
    let kinds = [
        NoticeKind::Match,
        NoticeKind::Digest,
        NoticeKind::Reminder,
        NoticeKind::Quiet { since },
        NoticeKind::Test,
    ];
    for language in [Language::De, Language::En] {
        for kind in kinds {
            let told = matches!(kind, NoticeKind::Match | NoticeKind::Digest | NoticeKind::Reminder);
            let notice = Notice {
                kind,
                language,
                matches: if told { vec![sample(); 2] } else { Vec::new() },
                list_url: "https://gitlab.example/list".to_owned(),
                inbox_url: Some("https://jobs.example/".to_owned()),
            };
            mail(templates, &notice)?;
        }
    }
    Ok(())
}

fn sample() -> NoticeMatch {
    NoticeMatch {
        iid: 1,
        web_url: "https://gitlab.example/1".to_owned(),
        job: JobMatch { summary: Some("Sample".to_owned()), ..JobMatch::titled("Sample") },
        possible_duplicates: vec![2],
        waiting: SignedDuration::from_hours(50),
        approve_url: Some("https://jobs.example/a".to_owned()),
        reject_url: Some("https://jobs.example/b".to_owned()),
    }
}
