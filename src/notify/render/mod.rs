//! A notice in the form of each channel. The words stand in templates; what a channel allows is kept here, whatever a
//! match holds and whatever somebody made of a template.

mod facts;
pub(crate) mod mail;
mod slack;
mod whatsapp;

pub use mail::{MailText, mail};
pub use slack::slack;
pub use whatsapp::whatsapp;

use std::sync::Arc;

use jiff::SignedDuration;

use crate::domain::{JobMatch, Language};
use crate::notify::{Notice, NoticeKind, NoticeMatch};
use crate::templates::{TemplateError, Templates};

/// Why a notice has no form for a channel. Always a template's fault, for what a match holds is cut to fit.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The template cannot be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The template does not make the JSON that it should.
    #[error("the template {template} makes no usable JSON: {error}")]
    NoJson {
        /// The template.
        template: String,
        /// What is wrong with it, and where.
        error: serde_json::Error,
    },
    /// The template makes more than the channel takes, or something that it does not know.
    #[error("the template {template} makes a message that would be refused: {what}")]
    Refused {
        /// The template.
        template: String,
        /// What is too much or missing, and how much is allowed.
        what: String,
    },
}

/// Looks at the names in every template that took the place of one of ours and renders a sample of every kind of
/// message, so that a template that names something that is not there is an error at the start. Ours alone are checked
/// by tests, not at every start.
///
/// # Errors
///
/// The first template that cannot be rendered, with its line.
pub fn check(templates: &Templates) -> Result<(), RenderError> {
    if !templates.are_overridden() {
        return Ok(());
    }
    templates.check_names()?;
    render_samples(templates)
}

fn render_samples(templates: &Templates) -> Result<(), RenderError> {
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
            let notice = Arc::new(Notice {
                kind,
                language,
                matches: if told { vec![sample(); 2] } else { Vec::new() },
                list_url: "https://gitlab.example/list".to_owned(),
                inbox_url: Some("https://jobs.example/".to_owned()),
            });
            mail(templates, &notice)?;
            slack(templates, &notice)?;
            whatsapp(templates, &notice)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_make_every_kind_of_message() {
        render_samples(&Templates::load(None).unwrap()).unwrap();
    }
}
