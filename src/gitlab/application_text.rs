//! The tracker's comment: a table that people read and edit, and the same fields for machines in its hidden part.

use serde_json::{Map, Value, json};

use super::hidden::Hidden;
use crate::domain::inert::{GitlabBlock, GitlabLine, Wanted, json_block, whole_text_guard};
use crate::domain::tracker::FIELDS;
use crate::domain::{Application, Language};

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
    let hidden = Hidden::Application.of(&Value::Object(fields));
    json!({ "rows": rows, "hidden": hidden })
}

/// Whether a comment is the tracker's.
pub fn is_one(body: &str) -> bool {
    Hidden::Application.place_in(body).is_some()
}

/// What a comment says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read {
    /// The fields.
    pub application: Application,
    /// The cells in which nobody can read what is meant: label and text.
    pub unreadable: Vec<(String, String)>,
    /// The same comment with a hidden part that says what its table says, where it does not already: with it what people
    /// wrote last is known on a fresh disk too once a cell cannot be read any more.
    pub caught_up: Option<String>,
}

/// Reads a comment. The table counts, for it is what people see and edit; the hidden part tells exactly what a cell stands
/// for that is as we wrote it. Where an edit makes no sense, a field is what the hidden part says.
pub fn read_back(body: &str) -> Option<Read> {
    let place = Hidden::Application.place_in(body)?;
    let hidden: Map<String, Value> = serde_json::from_str(&body[place.clone()]).unwrap_or_default();
    let mut application = Application::default();
    for (name, value) in &hidden {
        set(&mut application, name, value);
    }
    let written = application.fields();
    let mut unreadable = Vec::new();
    for (label, cell) in body.lines().filter_map(row) {
        let Some(name) = field_of(&label) else { continue };
        if shown(name, &written) == cell {
            continue;
        }
        let text = GitlabBlock::read_back(&cell).replace(LINE_BREAK.trim(), "\n");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let text = lines.join("\n").trim().to_owned();
        if !set(&mut application, name, &Value::String(as_meant(name, &text))) {
            unreadable.push((label, text));
        }
    }
    let fields = application.fields();
    let is_whole = place.end < body.len();
    let caught_up = (is_whole && fields != written).then(|| {
        let hidden = json_block(&Value::Object(fields));
        format!("{}{hidden}{}", &body[..place.start], &body[place.end..])
    });
    // It is posted by us then: what nobody may have us do stays theirs.
    let caught_up = caught_up.filter(|text| whole_text_guard(text, &Wanted::default()).is_ok());
    Some(Read { application, unreadable, caught_up })
}

/// The same comment with other fields: the rows of those that change, and the hidden part. What people wrote around them
/// stays. None where a row is missing, or the rest holds what nobody may have us post: it can only be written anew then.
pub fn rewritten(body: &str, application: &Application) -> Option<String> {
    let place = Hidden::Application.place_in(body)?;
    let (before, fields) = (read_back(body)?.application.fields(), application.fields());
    let hidden = json_block(&Value::Object(fields.clone()));
    let body = format!("{}{hidden}{}", &body[..place.start], body.get(place.end..)?);
    let is_changed = |name: &str| before.get(name) != fields.get(name);
    let mut without_row: Vec<&str> =
        FIELDS.iter().map(|(name, ..)| *name).filter(|name| is_changed(name)).collect();
    let mut text = String::with_capacity(body.len());
    for line in body.split_inclusive('\n') {
        let field = row(line).and_then(|(label, _)| Some((field_of(&label)?, label)));
        match field.filter(|(name, _)| is_changed(name)) {
            Some((name, label)) => {
                without_row.retain(|other| *other != name);
                let end = &line[line.trim_end_matches(['\r', '\n']).len()..];
                text.push_str(&format!("| {label} | {} |{end}", shown(name, &fields)));
            }
            None => text.push_str(line),
        }
    }
    let says_so =
        without_row.is_empty() && read_back(&text).is_some_and(|read| read.application == *application);
    Some(text).filter(|text| says_so && whole_text_guard(text, &Wanted::default()).is_ok())
}

/// The field of a label, in either language.
fn field_of(label: &str) -> Option<&'static str> {
    FIELDS.iter().find(|(_, german, english)| label == *german || label == *english).map(|(name, ..)| *name)
}

/// Sets a field; says whether it can be that.
fn set(application: &mut Application, name: &str, value: &Value) -> bool {
    let change = Map::from_iter([(name.to_owned(), value.clone())]);
    let changed = application.changed(&change);
    if let Ok(next) = &changed {
        *application = next.clone();
    }
    changed.is_ok()
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
            let read = read_back(&text).unwrap();
            assert_eq!(read, Read { application: some(), ..Read::default() }, "{text}");
            let edited = text.replace("| applied |", "| Interview |").replace("2026-02-07 |", "8.2.2026 |");
            let caught_up = read_back(&edited).unwrap().caught_up.unwrap();
            let read = read_back(&edited).unwrap().application.fields();
            assert_eq!((&read["stage"], &read["applied_on"]), (&json!("interview"), &json!("2026-02-08")));
            assert_eq!(read["notes"], some().fields()["notes"]);
            // What people wrote last is known also once a cell makes no sense, and on a fresh disk.
            whole_text_guard(&caught_up, &Wanted::default()).unwrap();
            let nonsense = caught_up.replace("| Interview |", "| hired |");
            let label = language.pick("Phase", "Stage").to_owned();
            let again = read_back(&nonsense).unwrap();
            assert_eq!((&again.application.fields(), again.caught_up), (&read, None));
            assert_eq!(again.unreadable, [(label, "hired".to_owned())]);
            let nonsense = text.replace("| applied |", "| hired |");
            assert_eq!(read_back(&nonsense).unwrap().application, some());
            let cleared = text.replace("| applied |", "| |");
            assert_eq!(read_back(&cleared).unwrap().application.stage, None);
        }
        assert_eq!(read_back("| Stage | offer |"), None, "anybody's table is not ours");
    }

    #[test]
    fn what_people_wrote_around_the_fields_stays_where_others_change() {
        let text = rendered(&some(), Language::En);
        let theirs = text
            .replace("| Stage | applied |", "| **Stage** | Applied | since Monday |")
            .replace("| Next step |  |", "| Next step | call\r\nor write |")
            .replace("\n\n", "\n\nAsk Kim *first*.\n\n");
        let mut wanted = read_back(&theirs).unwrap().application;
        wanted.notes = Some("third".to_owned());
        let anew = rewritten(&theirs, &wanted).unwrap();
        let shown = |text: &str| text.split("<!--").next().unwrap().to_owned();
        let notes = shown(&theirs).lines().find(|line| line.contains("| Notes |")).unwrap().to_owned();
        assert_eq!(shown(&anew), shown(&theirs).replace(&notes, "| Notes | third |"));
        assert_eq!(read_back(&anew).unwrap().application, wanted);
        wanted.next_step = None;
        let anew = rewritten(&theirs, &wanted).unwrap();
        assert!(anew.contains("| Next step |  |\r\nor write |"), "{anew}");
        // What cannot be kept.
        for spoilt in [
            theirs.replace("| Notes |", "| Note |"),
            theirs.replace("Ask Kim", "@all Ask Kim"),
            theirs.replace("Ask Kim", "\n/close"),
            theirs.replace(" -->", ""),
        ] {
            assert_eq!(rewritten(&spoilt, &wanted), None, "{spoilt}");
        }
    }

    proptest! {
        #[test]
        fn a_rewritten_comment_says_what_a_new_one_would(notes in "\\PC{0,60}", step in "[ -~äß|\\\\]{0,40}") {
            let changes = json!({ "notes": notes, "next_step": step, "stage": null });
            let wanted = some().changed(changes.as_object().unwrap()).unwrap();
            let anew = rewritten(&rendered(&some(), Language::De), &wanted);
            prop_assert_eq!(anew, Some(rendered(&wanted, Language::De)));
        }

        #[test]
        fn any_text_reads_back(notes in "\\PC{0,60}", step in "[ -~äß|\\\\]{0,40}") {
            let changes = json!({ "notes": notes, "next_step": step });
            let application = Application::default().changed(changes.as_object().unwrap()).unwrap();
            let text = rendered(&application, Language::De);
            prop_assert_eq!(read_back(&text).map(|read| read.application), Some(application), "{}", text);
        }
    }
}
