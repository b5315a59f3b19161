//! Which column is which field.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::field::Field;
use crate::domain::Language;

/// The headers that are understood, as they stand beside the program.
const HEADERS: &str = include_str!("../../config/csv.yml");

/// What [`HEADERS`] says. A broken one is a broken build; it is reported where it is needed all the same.
static DICTIONARY: LazyLock<Result<Dictionary, String>> = LazyLock::new(|| Dictionary::parse(HEADERS));

/// The file of headers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Headers {
    columns: Vec<Entry>,
}

/// The headers of one field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The field.
    field: Field,
    /// What a new German file calls it.
    header: String,
    /// What it may be called beside that.
    #[serde(default)]
    also: Vec<String>,
}

/// Every header that is understood.
#[derive(Debug)]
struct Dictionary {
    fields: HashMap<String, Field>,
    german: HashMap<Field, String>,
}

impl Dictionary {
    /// Reads the file of headers; one header may not mean two fields, and no field may be missing.
    fn parse(yaml: &str) -> Result<Self, String> {
        let headers: Headers = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        let mut fields = HashMap::new();
        let mut german = HashMap::new();
        for Entry { field, header, also } in headers.columns {
            for name in also.iter().chain([&header, &field.as_str().to_owned()]) {
                if fields.insert(folded(name), field).is_some_and(|other| other != field) {
                    return Err(format!("`{name}` means two fields"));
                }
            }
            german.insert(field, header);
        }
        match Field::ALL.into_iter().find(|field| !german.contains_key(field)) {
            Some(field) => Err(format!("`{field}` has no header")),
            None => Ok(Self { fields, german }),
        }
    }
}

/// The header of a field in a new file of this language.
pub fn header(field: Field, language: Language) -> String {
    let german = DICTIONARY.as_ref().ok().and_then(|dictionary| dictionary.german.get(&field));
    match (language, german) {
        (Language::De, Some(german)) => german.clone(),
        _ => field.as_str().to_owned(),
    }
}

/// The field that a header means.
pub fn field_of(header: &str) -> Option<Field> {
    DICTIONARY.as_ref().ok()?.fields.get(&folded(header)).copied()
}

/// Whether a field is called so in a new file.
fn is_exact(field: Field, name: &str) -> bool {
    [Language::De, Language::En].into_iter().any(|language| folded(name) == folded(&header(field, language)))
}

/// A header without what makes no difference: case, umlauts however written, blanks, signs and what is in brackets.
fn folded(header: &str) -> String {
    let outside = header.split(['(', '[']).next().unwrap_or_default();
    let plain: String = outside
        .nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .filter(|c| c.is_alphanumeric())
        .collect();
    plain.replace('ß', "ss").replace("ae", "a").replace("oe", "o").replace("ue", "u")
}

/// The columns of a file.
#[derive(Clone, Debug)]
pub struct Columns {
    headers: Vec<String>,
    places: [Option<usize>; Field::COUNT],
    /// The fields by column.
    by_place: Vec<Option<Field>>,
}

impl Columns {
    /// Finds the fields among the headers of a file. Where two mean the same one, that which is called as in a new file
    /// is it, else the first; the other is one of the user's own.
    ///
    /// # Errors
    ///
    /// Where no header means the title.
    pub fn new(headers: Vec<String>) -> Result<Self, ColumnsError> {
        if let Err(reason) = DICTIONARY.as_ref() {
            return Err(ColumnsError::Dictionary(reason.clone()));
        }
        let mut places = [None; Field::COUNT];
        let mut by_place = vec![None; headers.len()];
        for (place, header) in headers.iter().enumerate() {
            let Some(field) = field_of(header) else { continue };
            let first = places[field as usize];
            if let Some(first) = first {
                let is_exact =
                    |place: usize| headers.get(place).is_some_and(|header| is_exact(field, header));
                if is_exact(first) || !is_exact(place) {
                    continue;
                }
                by_place[first] = None;
            }
            places[field as usize] = Some(place);
            by_place[place] = Some(field);
        }
        if places[Field::Title as usize].is_none() {
            return Err(ColumnsError::NoTitle { headers });
        }
        Ok(Self { headers, places, by_place })
    }

    /// The columns of a new file, whose headers are known to be the fields in their order.
    pub(super) fn of_a_new_file(headers: Vec<String>) -> Self {
        let mut places = [None; Field::COUNT];
        for (place, field) in Field::of_a_new_file().enumerate() {
            places[field as usize] = Some(place);
        }
        let by_place = Field::of_a_new_file().map(Some).collect();
        Self { headers, places, by_place }
    }

    /// How many columns the file has.
    pub fn len(&self) -> usize {
        self.headers.len()
    }

    /// Whether the file has no column. A file that was read always has one.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// The headers, as they stand in the file.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// The header of a column, counted from 0.
    pub fn header(&self, place: usize) -> &str {
        self.headers.get(place).map_or("", String::as_str)
    }

    /// Which column a field is in, counted from 0.
    pub fn place(&self, field: Field) -> Option<usize> {
        self.places[field as usize]
    }

    /// The fields that the file has a column for.
    pub fn fields(&self) -> impl Iterator<Item = (Field, usize)> {
        Field::ALL.into_iter().filter_map(|field| Some((field, self.place(field)?)))
    }

    /// The field that each column is about, if it is about one.
    pub(super) fn by_place(&self) -> &[Option<Field>] {
        &self.by_place
    }

    /// The language of the headers; German where nothing speaks for English.
    pub fn language(&self) -> Language {
        let english = |(field, place): &(Field, usize)| {
            let header = self.header(*place);
            folded(header) == folded(field.as_str())
                && folded(header) != folded(&super::columns::header(*field, Language::De))
        };
        let german = |(field, place): &(Field, usize)| {
            let header = folded(self.header(*place));
            header != folded(field.as_str())
                && header == folded(&super::columns::header(*field, Language::De))
        };
        if self.fields().filter(english).count() > self.fields().filter(german).count() {
            Language::En
        } else {
            Language::De
        }
    }

    /// Notes a column that was put behind the last one.
    pub(super) fn push(&mut self, field: Field, header: String) {
        self.places[field as usize] = Some(self.headers.len());
        self.headers.push(header);
        self.by_place.push(Some(field));
    }
}

/// Why the headers of a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    /// No column for the title.
    #[error("no column is called `Titel` or `title`; the headers are: {}", listed(headers))]
    NoTitle {
        /// The headers that there are.
        headers: Vec<String>,
    },
    /// The list of headers that came with the program is broken.
    #[error("config/csv.yml: {0}")]
    Dictionary(String),
}

/// The first headers of a file in words; a file that is no table can have a very long one.
fn listed(headers: &[String]) -> String {
    let short = |header: &String| header.chars().take(40).filter(|c| !c.is_control()).collect::<String>();
    let names: Vec<String> = headers.iter().take(30).map(short).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_german_file_has_the_contracts_headers() {
        let headers: Vec<String> = Field::of_a_new_file().map(|field| header(field, Language::De)).collect();
        let contract = "iid; Status; Titel; Firma; Agentur; Endkunde; Score; Ort; Remote; Satz; Start; Dauer; Quelle; URL; \
             Gefunden am; Entschieden am; Phase; Beworben am; Antwort am; Gespräch am; Nächster Schritt; \
             Wiedervorlage am; Ansprechpartner; E-Mail; Telefon; RTR; Notizen";
        assert_eq!(headers.join("; "), contract);
    }

    #[test]
    fn case_blanks_umlauts_and_brackets_make_no_difference() {
        for name in
            ["Gespräch am", "GESPRAECH AM", "gesprach_am", " Gespra\u{308}ch am ", "Gespräch am (Datum)"]
        {
            assert_eq!(field_of(name), Some(Field::InterviewOn), "{name}");
        }
        for field in Field::ALL {
            assert_eq!(field_of(field.as_str()), Some(field));
            assert_eq!(field_of(&header(field, Language::De)), Some(field));
        }
        assert_eq!(field_of("Lieblingsfarbe"), None);
        assert_eq!(field_of(""), None);
    }

    #[test]
    fn of_two_columns_of_one_field_the_exact_one_is_it_else_the_first() {
        for (first, second, place) in [
            ("Telefon", "phone", 1),
            ("phone", "Telefon", 2),
            ("Mobil", "Handy", 1),
            ("Telefon", "contact_phone", 1),
        ] {
            let headers = ["Titel", first, second].map(str::to_owned).to_vec();
            let columns = Columns::new(headers).unwrap();
            assert_eq!(columns.place(Field::ContactPhone), Some(place), "{first} {second}");
            assert_eq!(columns.by_place().iter().flatten().count(), 2);
        }
    }

    #[test]
    fn what_people_call_their_columns_is_understood() {
        for (name, field) in [
            ("Kommentar", Field::Notes),
            ("Kommentare", Field::Notes),
            ("Anmerkung", Field::Notes),
            ("Anmerkungen", Field::Notes),
            ("Stadt", Field::Location),
            ("Arbeitsort", Field::Location),
            ("Auftraggeber", Field::EndClient),
            ("Handy", Field::ContactPhone),
            ("Mobil", Field::ContactPhone),
            ("Next action", Field::NextStep),
        ] {
            assert_eq!(field_of(name), Some(field), "{name}");
        }
    }

    #[test]
    fn a_header_that_means_two_fields_is_refused() {
        let yaml = "columns:\n  - {field: iid, header: Nummer}\n  - {field: title, header: nummer}\n";
        assert_eq!(Dictionary::parse(yaml).unwrap_err(), "`nummer` means two fields");
    }
}
