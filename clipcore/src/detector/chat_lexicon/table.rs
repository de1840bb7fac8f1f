//! What words and emotes of chat say, as a small table of our own.
//!
//! Only tokens that mean the same in every channel: global emotes of the large platforms and their common
//! extensions, emoji, and everyday words of a few languages. Nothing of a game, a team or a channel.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a message expresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mood {
    Funny,
    Hype,
    Sad,
    Shock,
}

impl Mood {
    pub(super) const ALL: [Self; 4] = [Self::Funny, Self::Hype, Self::Sad, Self::Shock];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Funny => "funny",
            Self::Hype => "hype",
            Self::Sad => "sad",
            Self::Shock => "shock",
        }
    }

    /// How pleasant, −1…1.
    fn valence(self) -> f64 {
        match self {
            Self::Funny => 0.6,
            Self::Hype => 0.9,
            Self::Sad => -0.8,
            Self::Shock => -0.1,
        }
    }
}

/// What one token says: a mood, and how pleasant it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Meaning {
    pub(super) mood: Option<Mood>,
    pub(super) valence: f64,
}

const FUNNY: &[&str] = &[
    "lul",
    "lulw",
    "omegalul",
    "kekw",
    "kek",
    "icant",
    "pepelaugh",
    "4head",
    "elegiggle",
    "lmao",
    "lmfao",
    "lol",
    "rofl",
    "roflmao",
    "kappa",
    "xd",
    "mdr",
    "ptdr",
    "jaja",
    "rsrs",
    "funny",
    "hilarious",
    "comedy",
    "dead",
    "topkek",
    "keepo",
    "lole",
    "lolw",
    "hehe",
    "😂",
    "🤣",
    "😆",
    "😹",
    "💀",
    "ㅋㅋ",
    "ㅎㅎ",
    "哈哈",
    "草",
    "笑",
    "лол",
    "ахах",
    "хаха",
];

const HYPE: &[&str] = &[
    "pogchamp",
    "pog",
    "poggers",
    "pogu",
    "pogger",
    "poggies",
    "pogslide",
    "pagman",
    "pagchomp",
    "hypers",
    "ez",
    "clap",
    "gachigasm",
    "kreygasm",
    "letsgo",
    "lfg",
    "hype",
    "insane",
    "goat",
    "clutch",
    "nice",
    "wow",
    "amazing",
    "sick",
    "godlike",
    "gg",
    "ggwp",
    "wp",
    "cracked",
    "beast",
    "huge",
    "perfect",
    "beautiful",
    "incredible",
    "goal",
    "gol",
    "golazo",
    "epic",
    "pepega",
    "widepeepohappy",
    "peepoclap",
    "catjam",
    "ratjam",
    "vamos",
    "allez",
    "bravo",
    "daebak",
    "ура",
    "красава",
    "krass",
    "geil",
    "yes",
    "yess",
    "yesss",
    "woo",
    "wooo",
    "🔥",
    "🎉",
    "👏",
    "🙌",
    "🐐",
    "💪",
    "❤",
    "😍",
    "🥳",
    "가자",
    "나이스",
    "大",
    "牛",
    "すごい",
    "88888",
    "8888",
];

const SAD: &[&str] = &[
    "biblethump",
    "feelsbadman",
    "sadge",
    "peeposad",
    "pepehands",
    "widepeeposad",
    "notlikethis",
    "sad",
    "rip",
    "f",
    "noo",
    "nooo",
    "unlucky",
    "unlucko",
    "cry",
    "crying",
    "pain",
    "copium",
    "dansgame",
    "residentsleeper",
    "throw",
    "throwing",
    "feelsweirdman",
    "despair",
    "😢",
    "😭",
    "💔",
    "😞",
    "ㅠㅠ",
    "ㅜㅜ",
    "泣",
    "😔",
];

const SHOCK: &[&str] = &[
    "wutface",
    "monkas",
    "monkaw",
    "monkagiga",
    "d:",
    "omg",
    "omfg",
    "wtf",
    "wth",
    "jebaited",
    "swiftrage",
    "babyrage",
    "cmonbruh",
    "holy",
    "jesus",
    "pepejam",
    "noway",
    "how",
    "what",
    "huh",
    "cursed",
    "scary",
    "wut",
    "waht",
    "wat",
    "ohno",
    "😱",
    "😨",
    "😲",
    "🤯",
    "😳",
    "👀",
    "ㄷㄷ",
    "헐",
    "卧槽",
    "え",
    "?!",
    "???",
    "????",
    "??",
    "!?",
];

/// Words without a mood that still say whether people are pleased.
const VALENCE: &[(&str, f64)] = &[
    ("good", 0.5),
    ("great", 0.7),
    ("love", 0.8),
    ("best", 0.7),
    ("thanks", 0.5),
    ("happy", 0.7),
    ("win", 0.5),
    ("won", 0.5),
    ("bad", -0.6),
    ("worst", -0.8),
    ("hate", -0.8),
    ("boring", -0.6),
    ("trash", -0.8),
    ("garbage", -0.8),
    ("terrible", -0.8),
    ("awful", -0.8),
    ("lost", -0.4),
    ("lose", -0.4),
    ("angry", -0.6),
    ("ugly", -0.5),
    ("dumb", -0.6),
    ("stupid", -0.6),
    ("👍", 0.5),
    ("👎", -0.5),
    ("😡", -0.7),
    ("😊", 0.6),
];

/// The table, ready for look-up; all streams share it.
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

#[derive(Debug)]
pub(super) struct Table {
    words: HashMap<&'static str, Meaning>,
}

impl Table {
    fn new() -> Self {
        let moods = [(Mood::Funny, FUNNY), (Mood::Hype, HYPE), (Mood::Sad, SAD), (Mood::Shock, SHOCK)];
        let mut words = HashMap::new();
        for (mood, list) in moods {
            for word in list {
                words.entry(*word).or_insert(Meaning { mood: Some(mood), valence: mood.valence() });
            }
        }
        for (word, valence) in VALENCE {
            words.entry(*word).or_insert(Meaning { mood: None, valence: *valence });
        }
        Self { words }
    }

    /// What a token says. It is to be in lower case.
    pub(super) fn meaning(&self, token: &str) -> Option<Meaning> {
        if let Some(found) = self.words.get(token) {
            return Some(*found);
        }
        let trimmed =
            token.trim_matches(|c: char| matches!(c, '!' | '.' | ',' | '?' | '"' | '\'' | '(' | ')' | '*'));
        if trimmed.len() < token.len()
            && let Some(found) = self.words.get(trimmed)
        {
            return Some(*found);
        }
        let mood = if is_laughter(trimmed) {
            Mood::Funny
        } else if is_drawn_out(trimmed) {
            Mood::Hype
        } else {
            return None;
        };
        Some(Meaning { mood: Some(mood), valence: mood.valence() })
    }
}

/// `hahaha`, `jajaja`, `kkkk`, `lololol`, `xdddd`, `wwww`, `ㅋㅋㅋㅋ`, `哈哈哈`, `5555`, `ахахах`.
fn is_laughter(token: &str) -> bool {
    const ALPHABETS: &[(&[char], usize)] = &[
        (&['h', 'a'], 4),
        (&['j', 'a'], 4),
        (&['h', 'e'], 4),
        (&['l', 'o'], 4),
        (&['x', 'd'], 2),
        (&['k'], 3),
        (&['w'], 3),
        (&['5'], 4),
        (&['ㅋ'], 2),
        (&['ㅎ'], 2),
        (&['哈'], 2),
        (&['х', 'а'], 4),
    ];
    let mut chars = token.chars();
    let Some(first) = chars.next() else { return false };
    let count = token.chars().count();
    ALPHABETS.iter().any(|(alphabet, least)| {
        count >= *least
            && alphabet.contains(&first)
            && token.chars().all(|c| alphabet.contains(&c))
            && alphabet.iter().all(|c| token.contains(*c))
    })
}

/// `gooooal`, `yessss`: somebody leans on the keyboard.
fn is_drawn_out(token: &str) -> bool {
    let (mut last, mut run) = ('\0', 0);
    token.chars().any(|c| {
        run = if c == last { run + 1 } else { 1 };
        last = c;
        run >= 4 && c.is_alphabetic()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laughter_is_known_in_many_alphabets() {
        let table = &TABLE;
        for token in [
            "hahaha",
            "ahahah",
            "jajaja",
            "kkkkk",
            "lolol",
            "xddd",
            "ㅋㅋㅋㅋ",
            "哈哈哈",
            "5555",
            "хахаха",
            "lul",
            "😂",
        ] {
            assert_eq!(table.meaning(token).and_then(|m| m.mood), Some(Mood::Funny), "{token}");
        }
        for token in ["aaaa", "w", "the", "2024", "ha"] {
            assert_ne!(table.meaning(token).and_then(|m| m.mood), Some(Mood::Funny), "{token}");
        }
    }

    #[test]
    fn punctuation_does_not_hide_a_word() {
        let table = &TABLE;
        assert_eq!(table.meaning("insane!!!").and_then(|m| m.mood), Some(Mood::Hype));
        assert_eq!(table.meaning("\"rip\"").and_then(|m| m.mood), Some(Mood::Sad));
        assert_eq!(table.meaning("???").and_then(|m| m.mood), Some(Mood::Shock));
    }

    #[test]
    fn every_word_is_one_lower_case_token() {
        for word in [FUNNY, HYPE, SAD, SHOCK].concat() {
            assert_eq!(word, word.to_lowercase(), "{word} is not in lower case");
            assert!(!word.contains(char::is_whitespace), "{word} is more than one token");
        }
    }
}
