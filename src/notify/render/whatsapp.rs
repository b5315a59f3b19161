//! A notice for WhatsApp: text from `templates/whatsapp/`, at most 1,600 characters whatever a match holds.
//!
//! Twilio refuses a longer body (error 21617). What does not fit is left out in steps: first words about a match, then
//! matches from the end on, never a part of a link.

use std::collections::BTreeMap;

use super::RenderError;
use super::facts::{self, Sizes};
use crate::channels::whatsapp::WhatsAppMessage;
use crate::domain::inert::{WhatsAppLine, chat_length};
use crate::notify::Notice;
use crate::templates::Templates;

/// Twilio's limit on a message, in characters.
const BODY: usize = 1_600;
/// Most matches shown.
const MOST_SHOWN: usize = 20;
/// Most characters of one value of a template: Meta allows 1,024 for the whole of it.
const VARIABLE: usize = 220;
/// About one match, from most to fewest words.
const ONE: [Sizes; 3] = [
    Sizes { title: 200, line: 80, skill: 40, skills: 8, summary: 400 },
    Sizes { title: 120, line: 40, skill: 24, skills: 5, summary: 0 },
    Sizes { title: 80, line: 24, skill: 0, skills: 5, summary: 0 },
];
/// About one of several.
const SEVERAL: [Sizes; 2] = [
    Sizes { title: 80, line: 40, skill: 20, skills: 5, summary: 100 },
    Sizes { title: 60, line: 24, skill: 0, skills: 5, summary: 0 },
];

/// A notice as a WhatsApp message.
///
/// # Errors
///
/// Where the template is wrong, or says too much even without any match; never because of what a match holds.
pub fn whatsapp(templates: &Templates, notice: &Notice) -> Result<WhatsAppMessage, RenderError> {
    let template = format!("whatsapp/notice.{}.txt", notice.language.pick("de", "en"));
    for (shown, sizes) in attempts(notice) {
        let body = tidy(&templates.render(&template, facts::context(notice, shown, sizes, inert))?);
        if !body.is_empty() && chat_length(&body) <= BODY {
            return Ok(WhatsAppMessage { body, variables: variables(templates, notice)? });
        }
    }
    let what = format!("it is empty, or longer than {BODY} characters even without any match");
    Err(RenderError::Refused { template, what })
}

/// What is tried, from most to least: how many matches, with how many words. Several matches with few words are better
/// than few with many.
fn attempts(notice: &Notice) -> Vec<(usize, Sizes)> {
    let all = notice.matches.len().min(MOST_SHOWN);
    if all == 1 {
        let one = ONE.iter().map(|sizes| (1, *sizes));
        return one.chain([(0, SEVERAL[1])]).collect();
    }
    let full = (all, SEVERAL[0]);
    [full].into_iter().chain((0..=all).rev().map(|shown| (shown, SEVERAL[1]))).collect()
}

fn inert(text: &str, limit: usize) -> String {
    WhatsAppLine::new(text, limit).as_str().to_owned()
}

/// No blank lines at the ends, and one at most between paragraphs.
fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    let mut blank = false;
    for line in text.lines().map(str::trim) {
        if line.is_empty() {
            blank = !tidied.is_empty();
            continue;
        }
        if !tidied.is_empty() {
            tidied.push_str(if blank { "\n\n" } else { "\n" });
        }
        blank = false;
        tidied.push_str(line);
    }
    tidied
}

/// The values of the template that Meta approved, by their numbers: one a line of ours, none of them empty, without
/// line breaks, tabs and more than four blanks in a row (Twilio's errors 21656 and 92007).
fn variables(templates: &Templates, notice: &Notice) -> Result<BTreeMap<String, String>, RenderError> {
    let template = format!("whatsapp/variables.{}.txt", notice.language.pick("de", "en"));
    let sizes = Sizes { title: 120, line: 60, skill: 24, skills: 5, summary: 200 };
    let rendered = templates.render(&template, facts::context(notice, 1, sizes, inert))?;
    let lines = rendered.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.enumerate().map(|(index, line)| ((index + 1).to_string(), variable(line))).collect())
}

fn variable(line: &str) -> String {
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    // A link is ours and goes whole; the rest is inert already and is cut between words.
    if line.starts_with("https://") || line.starts_with("http://") || chat_length(&line) <= VARIABLE {
        return line;
    }
    let mut cut = String::new();
    for word in line.split(' ') {
        if chat_length(&cut) + chat_length(word) + 2 > VARIABLE {
            break;
        }
        cut.push_str(word);
        cut.push(' ');
    }
    format!("{}…", cut.trim_end())
}
