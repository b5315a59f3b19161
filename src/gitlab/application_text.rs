//! The tracker's comment: a table that people read and edit, and the same fields for machines in its hidden part.

use serde_json::{Map, Value, json};

use crate::domain::inert::{GitlabBlock, GitlabLine, json_block};
use crate::domain::tracker::FIELDS;
use crate::domain::{Application, Language};

const HIDDEN_BEGIN: &str = "<!-- vorhoelle application ";
const HIDDEN_END: &str = " -->";
/// Stands for a line break: a cell of a table has one line.
const LINE_BREAK: &str = " ⏎ ";

/// What the comment's template is rendered with. Fields without a value are there too, so that people can fill them in.
pub fn context(application: &Application, language: Language) -> Value {
    let fields = application.fields();
    let rows: Vec<Value> = FIELDS
        .iter()
        .map(|(name, german, english)| {
            json!({ "label": language.pick(german, english), "value": shown(name, &fields) })
        })
        .collect();
    let hidden = format!("{HIDDEN_BEGIN}{}{HIDDEN_END}", json_block(&Value::Object(fields)));
    json!({ "rows": rows, "hidden": hidden })
}

/// Whether a comment is the tracker's.
pub fn is_one(body: &str) -> bool {
    body.contains(HIDDEN_BEGIN)
}

/// What a comment says. The table counts, for it is what people see and edit; the hidden part tells exactly what a cell
/// stands for that is as we wrote it, and what a field was where an edit makes no sense.
pub fn read_back(body: &str) -> Option<Application> {
    let begin = body.find(HIDDEN_BEGIN)? + HIDDEN_BEGIN.len();
    let hidden = body[begin..].split(HIDDEN_END).next().unwrap_or_default();
    let hidden: Map<String, Value> = serde_json::from_str(hidden).unwrap_or_default();
    let base = Application::default();
    let mut application = one_by_one(&base, &hidden);
    let written = application.fields();
    let mut edited = Map::new();
    for (label, cell) in body.lines().filter_map(row) {
        let Some((name, ..)) =
            FIELDS.iter().find(|(_, german, english)| label == *german || label == *english)
        else {
            continue;
        };
        if shown(name, &written) != cell {
            let text = GitlabBlock::read_back(&cell).replace(LINE_BREAK.trim(), "\n");
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            edited.insert((*name).to_owned(), Value::String(as_meant(name, lines.join("\n").trim())));
        }
    }
    application = one_by_one(&application, &edited);
    Some(application)
}

/// Changes what can be changed.
fn one_by_one(application: &Application, changes: &Map<String, Value>) -> Application {
    let mut changed = application.clone();
    for (name, value) in changes {
        let change = Map::from_iter([(name.clone(), value.clone())]);
        match changed.changed(&change) {
            Ok(next) => changed = next,
            Err(errors) => {
                tracing::warn!(field = name, ?errors, "an edit of the tracker's comment makes no sense")
            }
        }
    }
    changed
}

/// People write `7.2.2026` and `Applied`.
fn as_meant(name: &str, text: &str) -> String {
    if !has_one_form(name) {
        return text.to_owned();
    }
    let parts: Vec<&str> = text.split('.').map(str::trim).collect();
    if let [day, month, year] = parts.as_slice()
        && year.len() == 4
    {
        return format!("{year}-{month:0>2}-{day:0>2}");
    }
    match text.to_lowercase().as_str() {
        "ja" => "yes".to_owned(),
        "nein" => "no".to_owned(),
        other => other.to_owned(),
    }
}

/// A field as its cell shows it. Words and days have one form each and nothing to make harmless.
fn shown(name: &str, fields: &Map<String, Value>) -> String {
    let text = fields.get(name).and_then(Value::as_str).unwrap_or_default();
    if has_one_form(name) {
        return text.to_owned();
    }
    GitlabLine::new(&text.replace('\n', LINE_BREAK)).to_string()
}

fn has_one_form(name: &str) -> bool {
    matches!(name, "stage" | "rtr") || name.ends_with("_on")
}

/// Label and value of a table's row.
fn row(line: &str) -> Option<(String, String)> {
    let line = line.trim().strip_prefix('|')?;
    let mut cells = vec![String::new()];
    let mut escaped = false;
    for c in line.chars() {
        if c == '|' && !escaped {
            cells.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        if let Some(cell) = cells.last_mut() {
            cell.push(c);
        }
    }
    let label = cells.first()?.trim().trim_matches('*').trim().to_owned();
    Some((label, cells.get(1)?.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::inert::{Wanted, whole_text_guard};
    use crate::templates::Templates;

    fn rendered(application: &Application, language: Language) -> String {
        let name = format!("comments/application.{}.md", language.pick("de", "en"));
        Templates::load(None).unwrap().render(&name, context(application, language)).unwrap()
    }

    fn some() -> Application {
        let fields = json!({
            "stage": "applied", "applied_on": "2026-02-07", "contact_email": "a_b@example.com",
            "notes": "first | line\nsecond #1 @all", "rtr": "yes",
        });
        serde_json::from_value(fields).unwrap()
    }

    #[test]
    fn what_is_written_reads_back_and_what_people_edit_counts() {
        for language in [Language::De, Language::En] {
            let text = rendered(&some(), language);
            whole_text_guard(&text, &Wanted::default()).unwrap();
            assert_eq!(read_back(&text), Some(some()), "{text}");
            let edited = text.replace("| applied |", "| Interview |").replace("2026-02-07 |", "8.2.2026 |");
            let read = read_back(&edited).unwrap().fields();
            assert_eq!((&read["stage"], &read["applied_on"]), (&json!("interview"), &json!("2026-02-08")));
            assert_eq!(read["notes"], some().fields()["notes"]);
            let nonsense = text.replace("| applied |", "| hired |");
            assert_eq!(read_back(&nonsense), Some(some()));
            let cleared = text.replace("| applied |", "| |");
            assert_eq!(read_back(&cleared).unwrap().stage, None);
        }
        assert_eq!(read_back("| Stage | offer |"), None, "anybody's table is not ours");
    }

    proptest! {
        #[test]
        fn any_text_reads_back(notes in "\\PC{0,60}", step in "[ -~äß|\\\\]{0,40}") {
            let changes = json!({ "notes": notes, "next_step": step });
            let application = Application::default().changed(changes.as_object().unwrap()).unwrap();
            let text = rendered(&application, Language::De);
            prop_assert_eq!(read_back(&text), Some(application), "{}", text);
        }
    }
}
