//! What a comment of ours says to the service alone: JSON in an HTML comment, which GitLab does not show.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::domain::inert::json_block;

const END: &str = " -->";

/// What a hidden part is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// Who decided what, through the service.
    Decision,
    /// The tracker's fields.
    Application,
    /// An attempt to send.
    Attempt,
    /// When the last digest, quiet alarm and reminder left.
    Told,
    /// Which channel's messages do not arrive.
    GivenUp,
}

impl Hidden {
    const fn begin(self) -> &'static str {
        match self {
            Self::Decision => "<!-- vorhoelle ",
            Self::Application => "<!-- vorhoelle application ",
            Self::Attempt => "<!-- vorhoelle send ",
            Self::Told => "<!-- vorhoelle told ",
            Self::GivenUp => "<!-- vorhoelle given up ",
        }
    }

    /// The hidden part that says this.
    pub fn of(self, value: &Value) -> String {
        format!("{}{}{END}", self.begin(), json_block(value))
    }

    /// Where its JSON stands in a comment. One that somebody has broken open goes to the comment's end.
    pub fn place_in(self, body: &str) -> Option<Range<usize>> {
        let mut begins = body.match_indices(self.begin()).map(|(at, begin)| at + begin.len());
        // The beginning of this one is that of the others as well.
        let is_its_own = |begin: &usize| self != Self::Decision || body[*begin..].starts_with('{');
        let begin = begins.find(is_its_own)?;
        let length = body[begin..].find(END);
        Some(begin..length.map_or(body.len(), |length| begin + length))
    }

    /// What a comment says in it; `None` too where somebody has edited it so that it cannot be read.
    pub fn read<T: DeserializeOwned>(self, body: &str) -> Option<T> {
        serde_json::from_str(&body[self.place_in(body)?]).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_is_found_beside_the_others_in_any_order() {
        let all = [Hidden::GivenUp, Hidden::Told, Hidden::Attempt, Hidden::Application, Hidden::Decision];
        let parts: Vec<String> = all.iter().map(|one| one.of(&json!({ "is": format!("{one:?}") }))).collect();
        let body = format!("<!-- vorhoelle draft -->\n{}", parts.join("\n"));
        for one in all {
            assert_eq!(one.read::<Value>(&body), Some(json!({ "is": format!("{one:?}") })));
        }
        assert_eq!(Hidden::Told.read::<Value>(&parts[4]), None);
    }

    #[test]
    fn what_somebody_broke_open_is_none() {
        let part = Hidden::Told.of(&json!({ "a": 1 }));
        let broken = part.strip_suffix(END).unwrap();
        assert_eq!(Hidden::Told.place_in(broken).map(|place| place.end), Some(broken.len()));
        assert_eq!(Hidden::Told.read::<Value>(&format!("{broken} and more")), None);
    }
}
