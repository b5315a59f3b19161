//! What no text may hold.

/// Words that stand for nothing where a value is missing.
const NOTHING: [&str; 7] = ["None", "undefined", "NaN", "null", "Null", "Some", "[]"];
/// Marks of the template language.
const MARKS: [&str; 6] = ["{{", "}}", "{%", "%}", "{#", "#}"];

/// What is wrong with a text as it is sent. What stands in code or is hidden, is for programs.
pub fn of(name: &str, text: &str) -> Vec<String> {
    if name.ends_with(".html") {
        return of_page(text);
    }
    if name.ends_with(".yml") {
        return marks(text);
    }
    let is_json = name.ends_with(".json") || name.contains("variables");
    let shown = if is_json { words_of(text) } else { without_code(text) };
    let mut wrong = of_words(&shown);
    // Markdown folds them.
    if name.ends_with(".txt") {
        wrong.extend(shown.contains("\n\n\n\n").then(|| "three empty lines".to_owned()));
    }
    wrong
}

/// What is wrong with a page, or with a mail for those who read HTML.
pub fn of_page(html: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for part in html.split('<').skip(1) {
        let tag = part.split('>').next().unwrap_or_default();
        for nothing in
            ["\"None\"", "\"undefined\"", "\"null\"", "href=\"\"", "src=\"\"", "id=\"\"", "for=\"\""]
        {
            wrong.extend(tag.contains(nothing).then(|| format!("{nothing} in <{tag}>")));
        }
    }
    let visible = visible(html);
    wrong.extend(of_words(&visible));
    wrong
}

fn marks(text: &str) -> Vec<String> {
    MARKS.iter().filter(|mark| text.contains(**mark)).map(|mark| format!("`{mark}`")).collect()
}

fn of_words(text: &str) -> Vec<String> {
    let mut wrong = marks(text);
    for line in text.lines() {
        let line = line.trim();
        let is_separator = |c: char| !c.is_alphanumeric() && !matches!(c, '[' | ']' | '_' | '-');
        for word in line.split(is_separator) {
            wrong.extend(NOTHING.contains(&word).then(|| format!("`{word}` in `{line}`")));
        }
        for gap in ["  ", " ,", " .", " ;", "()", "( ", " )", ",,", "..", "„“", "“”", "„ ", "::"] {
            // Three points are none, nor is an empty cell of a table.
            let fine = (gap == ".." && line.contains("...")) || (gap == "  " && line.starts_with('|'));
            wrong.extend((line.contains(gap) && !fine).then(|| format!("`{gap}` in `{line}`")));
        }
    }
    wrong
}

/// The text without blocks of code and without what is hidden.
fn without_code(text: &str) -> String {
    let mut shown = String::new();
    for (place, part) in text.split("```").enumerate() {
        if place % 2 == 0 {
            shown.push_str(part);
        }
    }
    let mut rest = shown.as_str();
    let mut kept = String::new();
    while let Some((before, hidden)) = rest.split_once("<!--") {
        kept.push_str(before);
        rest = hidden.split_once("-->").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

/// The texts of a message in JSON, one a line.
fn words_of(json: &str) -> String {
    fn collect(value: &serde_json::Value, lines: &mut Vec<String>) {
        match value {
            serde_json::Value::String(text) => lines.push(text.clone()),
            serde_json::Value::Array(all) => all.iter().for_each(|one| collect(one, lines)),
            serde_json::Value::Object(all) => all.values().for_each(|one| collect(one, lines)),
            serde_json::Value::Null => lines.push("null".to_owned()),
            _ => {}
        }
    }
    let mut lines = Vec::new();
    collect(&serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}")), &mut lines);
    lines.join("\n")
}

/// What a page shows, each block on a line of its own; blanks as a browser folds them.
fn visible(html: &str) -> String {
    const INLINE: [&str; 13] =
        ["a", "b", "i", "bdi", "em", "strong", "code", "span", "small", "time", "abbr", "mark", "label"];
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        if let Some(comment) = after.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, rest)| rest);
            continue;
        }
        let (tag, after) = after.split_once('>').unwrap_or((after, ""));
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap_or_default();
        let raw = ["script", "style", "textarea", "title", "pre"]
            .iter()
            .find(|raw| **raw == tag.split([' ', '\n']).next().unwrap_or_default());
        rest = match raw {
            // What somebody typed is theirs.
            Some(raw) => after.split_once(&format!("</{raw}>")).map_or("", |(_, rest)| rest),
            None => after,
        };
        if !INLINE.contains(&name) {
            text.push('\u{1}');
        }
    }
    text.push_str(rest);
    let blocks = text.split('\u{1}').map(|block| block.split_whitespace().collect::<Vec<_>>().join(" "));
    blocks.filter(|block| !block.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn flaws_are_found() {
    for wrong in ["Hello {{ name }}", "Rate: None", "a  b", "from ( )", "Anna , Vienna", "undefined"] {
        assert!(!of("comments/x.md", wrong).is_empty(), "{wrong}");
        // Browsers fold blanks.
        assert!(wrong == "a  b" || !of_page(&format!("<p>{wrong}</p>")).is_empty(), "{wrong}");
    }
    assert_eq!(
        of(
            "comments/x.md",
            "Fine, e.g. 12.500,50 EUR / Monat (remote) …\n\n```json\n{\"a\": null}\n```\n<!-- x -->"
        ),
        [""; 0]
    );
    assert_eq!(of_page("<p>Fine\n   and <b>well</b>.</p><pre>a  b</pre><a href=\"/x\">y</a>"), [""; 0]);
    assert!(!of_page("<a href=\"\">x</a>").is_empty());
}
