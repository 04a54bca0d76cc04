//! Grammars that a model's output must follow: compiled once against a tokenizer's vocabulary, then
//! followed by any number of matchers.
//!
//! Both the text of a grammar and what a model makes of it come from strangers. Sizes and depth are
//! checked first (`grammar_source`), the library bounds its own work by fuel, and compiling runs on
//! a confined thread with a memory budget and a deadline behind that.

use crate::confined::{self, Abandoned, Limits};
use crate::grammar_matcher::GrammarMatcher;
use crate::grammar_source::{read, sentence, Kind};
use crate::tokenizer::Vocabulary;
use llguidance::api::ParserLimits;
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{
    ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, INVALID_TOKEN,
};
use llguidance::{Matcher, ParserFactory};
use std::sync::Arc;
use std::time::Duration;

const MEMORY_BYTES: usize = 128 << 20;
/// Behind the fuel, which ends what it bounds in about a second. The tests are of the fuel: on a slow and
/// busy machine theirs must not be what ends first.
const DEADLINE: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 5 });
/// With their memory, a gigabyte.
static ABANDONED: Abandoned = Abandoned::at_most(8);
/// Longer tokens do not fit the library's trie, and are never allowed.
const MAX_TOKEN_BYTES: usize = 512;

fn parser_limits() -> ParserLimits {
    ParserLimits {
        // A fifth of what the largest published schemas (FHIR) take, a second of the worst ones.
        initial_lexer_fuel: 200_000,
        // Ten milliseconds a mask at most, and a few on average of the worst grammars.
        step_lexer_fuel: 150_000,
        // A state takes up to 2 KB: 40 MB a matcher.
        max_lexer_states: 20_000,
        max_grammar_size: 200_000,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// What grammars of one tokenizer share: its tokens as a trie.
pub struct GrammarEnvironment {
    factory: Arc<ParserFactory>,
    ends: Arc<[u32]>,
}

impl GrammarEnvironment {
    /// `ends`: ids that end a text.
    pub fn new(vocabulary: &Vocabulary, ends: &[u32]) -> Result<Self, String> {
        let words: Vec<Vec<u8>> = (0..vocabulary.bytes.len())
            .map(|id| word(&vocabulary.bytes[id], vocabulary.special[id]))
            .collect();
        let size = words.len() as u32;
        if let Some(end) = ends.iter().find(|end| **end >= size) {
            return Err(format!("end id {end} is outside the vocabulary of {size} tokens"));
        }
        // Ends are ours to allow (`GrammarMatcher`): the library knows of none.
        let trie = TokTrie::from(&TokRxInfo::new(size, INVALID_TOKEN), &words);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = SlicedBiasComputer::general_slices();
        let mut factory =
            ParserFactory::new(&environment, InferenceCapabilities::default(), &slices)
                .map_err(|error| format!("the vocabulary cannot carry grammars: {error}"))?;
        factory.quiet();
        *factory.limits_mut() = parser_limits();
        Ok(Self { factory: Arc::new(factory), ends: ends.into() })
    }

    pub fn compile(&self, kind: Kind, text: &[u8]) -> Result<Grammar, String> {
        let grammar = read(kind, text)?;
        let (factory, ends) = (self.factory.clone(), self.ends.clone());
        let limits = Limits { memory_bytes: MEMORY_BYTES, deadline: DEADLINE };
        confined::run(kind.name(), &ABANDONED, limits, move || {
            let parser = factory.create_parser(grammar);
            let matcher = Matcher::new(parser);
            let mut start = GrammarMatcher::new(kind, matcher, ends)?;
            // Every text begins with this mask; matchers start with it made.
            start.compute_mask()?;
            Ok(Grammar { start, bytes: confined::held_bytes(limits) })
        })
        .map_err(|error| if error.starts_with("the ") { error } else { sentence(kind, &error) })
    }
}

/// How the trie knows a token. The library's marker keeps special tokens out of ordinary text; a
/// grammar may name them as `<|name|>`.
fn word(bytes: &[u8], special: bool) -> Vec<u8> {
    let marker = TokTrie::SPECIAL_TOKEN_MARKER;
    match bytes {
        [] => Vec::new(),
        bytes if bytes.len() > MAX_TOKEN_BYTES => Vec::new(),
        bytes if special => [&[marker], bytes].concat(),
        bytes => bytes.to_vec(),
    }
}

/// A compiled grammar. Never changes, so that threads may share it.
pub struct Grammar {
    start: GrammarMatcher,
    bytes: usize,
}

impl Grammar {
    /// What it takes of memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A matcher at the beginning of a text.
    pub fn matcher(&self) -> GrammarMatcher {
        self.start.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u32 = 256;
    const STRANGE_END: u32 = 257;
    const CALL: u32 = 258;
    const TRUE: u32 = 259;

    fn environment() -> GrammarEnvironment {
        let mut bytes: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
        for word in ["<|end|>", "</s>", "<|call|>", "true", "\": ", "[1, ", "tr", "", "aaaa"] {
            bytes.push(word.as_bytes().to_vec());
        }
        let special = (0..bytes.len() as u32).map(|id| (END..=CALL).contains(&id)).collect();
        let vocabulary = Vocabulary { bytes, special, strips_leading_space: false };
        GrammarEnvironment::new(&vocabulary, &[END, STRANGE_END]).unwrap()
    }

    fn matcher(kind: Kind, text: &str) -> GrammarMatcher {
        environment().compile(kind, text.as_bytes()).unwrap().matcher()
    }

    fn error(kind: Kind, text: &str) -> String {
        environment().compile(kind, text.as_bytes()).err().expect("an error")
    }

    fn allowed(matcher: &mut GrammarMatcher) -> Vec<u32> {
        let mask = matcher.compute_mask().unwrap();
        (0..mask.len() as u32 * 32)
            .filter(|id| mask[*id as usize / 32] >> (id % 32) & 1 == 1)
            .collect()
    }

    fn write(matcher: &mut GrammarMatcher, text: &str) -> bool {
        text.bytes().all(|byte| matcher.accept(byte.into()).is_ok())
    }

    /// Whether the grammar takes the whole text and may end there.
    fn fits(kind: Kind, grammar: &str, text: &str) -> bool {
        let mut matcher = matcher(kind, grammar);
        write(&mut matcher, text) && matcher.is_accepting().unwrap()
    }

    const PERSON: &str = r##"{"type": "object", "properties": {"name": {"type": "string"},
        "age": {"$ref": "#/$defs/age"}}, "required": ["name", "age"],
        "additionalProperties": false, "$defs": {"age": {"type": "integer", "minimum": 0}}}"##;

    #[test]
    fn each_kind_holds_a_text_to_its_grammar() {
        assert!(fits(Kind::JsonObject, "", r#"{"a": [1, {"b": null}]}"#));
        assert!(!fits(Kind::JsonObject, "", "[1]"));
        assert!(fits(Kind::JsonSchema, PERSON, r#"{"name": "é\n", "age": 31}"#));
        assert!(!fits(Kind::JsonSchema, PERSON, r#"{"name": "x", "age": -1}"#));
        assert!(!fits(Kind::JsonSchema, PERSON, r#"{"name": "x"}"#));
        // As people lay it out, but no white space without end.
        assert!(fits(Kind::JsonSchema, PERSON, "{\n\t\"name\": \"x\",\r\n\r\n\t\"age\": 1\n}"));
        let spaced = |space: &str| format!("{{\"name\": \"x\", \"age\":{space}1}}");
        assert!(fits(Kind::JsonSchema, PERSON, &spaced(&format!("\n{}", " ".repeat(40)))));
        assert!(!fits(Kind::JsonSchema, PERSON, &spaced("\n\n\n")));
        assert!(!fits(Kind::JsonSchema, PERSON, &spaced(&" ".repeat(41))));
        assert!(fits(Kind::Regex, r"[a-c]+/\d{2}", "abc/42"));
        assert!(!fits(Kind::Regex, r"[a-c]+/\d{2}", "abc/4"));
        assert!(fits(Kind::Lark, "start: (\"ja\" | \"nein\") NUMBER\nNUMBER: /[0-9]+/", "ja7"));
    }

    #[test]
    fn ends_are_allowed_exactly_where_the_text_may_end() {
        let mut matcher = matcher(Kind::Regex, "ab?");
        assert_eq!(allowed(&mut matcher), ['a' as u32]);
        assert!(matcher.accept(END).unwrap_err().contains("does not allow token 256"));
        matcher.accept('a' as u32).unwrap();
        assert_eq!(allowed(&mut matcher), ['b' as u32, END, STRANGE_END]);
        assert!(!matcher.is_complete());
        matcher.accept('b' as u32).unwrap();
        assert!(matcher.is_complete());
        assert_eq!(allowed(&mut matcher), [END, STRANGE_END]);
        matcher.accept(END).unwrap();
        assert!(matcher.is_complete() && allowed(&mut matcher).is_empty());
        assert!(matcher.accept(END).is_err());
    }

    #[test]
    fn the_empty_text_is_complete_at_once() {
        let mut matcher = matcher(Kind::Regex, "");
        assert!(matcher.is_complete());
        assert_eq!(allowed(&mut matcher), [END, STRANGE_END]);
    }

    #[test]
    fn a_special_token_is_allowed_only_by_its_name() {
        let mut any = matcher(Kind::Regex, "(?s:.*)");
        assert!(!allowed(&mut any).contains(&CALL));
        let mut named = matcher(Kind::Lark, "start: <|call|> \"x\"");
        assert_eq!(allowed(&mut named), [CALL]);
        named.accept(CALL).unwrap();
        assert_eq!(allowed(&mut named), ['x' as u32]);
        let bytes = "%llguidance {\"allow_invalid_utf8\": true}\nstart: /(?s:.{9})/";
        let mut bytes = matcher(Kind::Lark, bytes);
        assert!(!allowed(&mut bytes).contains(&END));
    }

    #[test]
    fn tokens_of_many_bytes_and_of_none() {
        let mut matcher = matcher(Kind::Regex, "t[a-z]+|aaaaa");
        assert_eq!(allowed(&mut matcher), [97, 116, TRUE, TRUE + 3, TRUE + 5]);
        matcher.accept(TRUE).unwrap();
        assert!(!allowed(&mut matcher).contains(&(TRUE + 4)));
    }

    #[test]
    fn drafts_are_checked_and_taken_back() {
        let mut matcher = matcher(Kind::JsonSchema, PERSON);
        let start = allowed(&mut matcher);
        let text: Vec<u32> = r#"{"name": "x", "age": 31}"#.bytes().map(u32::from).collect();
        let draft = [&text[..], &[END, 'x' as u32]].concat();
        assert_eq!(matcher.count_valid(&draft).unwrap(), text.len() + 1);
        assert_eq!(allowed(&mut matcher), start);
        let masks: Vec<Vec<u32>> = draft[..text.len() + 1]
            .iter()
            .map(|token| {
                matcher.accept(*token).unwrap();
                allowed(&mut matcher)
            })
            .collect();
        for back in 1..=text.len() {
            let mut copy = matcher.clone();
            copy.rollback(back).unwrap();
            assert_eq!(allowed(&mut copy), masks[text.len() - back], "{back} tokens back");
            assert_eq!(copy.count_valid(&draft[text.len() + 1 - back..]).unwrap(), back);
        }
        assert!(matcher.is_complete());
        assert!(matcher.rollback(1000).is_err());
    }

    #[test]
    fn what_cannot_be_used_is_said_in_a_sentence() {
        assert!(error(Kind::Regex, "*a").contains("the regular expression cannot be used: "));
        assert!(error(Kind::Regex, "a)(b").contains("cannot be used"));
        assert!(error(Kind::Lark, "start: other").contains("other"));
        assert!(error(Kind::JsonSchema, "false").contains("the JSON schema cannot be used"));
        for bad in
            [r#"{"type": 7}"#, r#"{"minimum": "x"}"#, r#"{"not": {}}"#, r##"{"$ref": "#/a"}"##]
        {
            let told = error(Kind::JsonSchema, bad);
            assert!(told.starts_with("the JSON schema cannot be used: "), "{told}");
        }
        let remote = error(Kind::JsonSchema, r#"{"$ref": "http://127.0.0.1:1/x.json"}"#);
        assert!(remote.contains("has the $ref 'http://127.0.0.1:1/x.json'"), "{remote}");
    }

    /// Compiles what would take all memory or time, and walks a little way through it.
    fn survives(kind: Kind, text: &str) {
        let told = match environment().compile(kind, text.as_bytes()) {
            Err(told) => told,
            Ok(grammar) => walk(&mut grammar.matcher()).err().unwrap_or_default(),
        };
        assert!(!told.contains("takes longer") && !told.contains("more memory"), "{told}");
        assert!(!told.contains("panic"), "{told}");
    }

    fn walk(matcher: &mut GrammarMatcher) -> Result<(), String> {
        for _ in 0..30 {
            matcher.compute_mask()?;
            let Some(last) = allowed(matcher).into_iter().rfind(|id| *id < END) else { break };
            matcher.accept(last)?;
        }
        Ok(())
    }

    #[test]
    fn bombs_are_answered() {
        let object = |fields: &str| format!("{{{fields}}}");
        for regex in [
            "a{1,1000000000}",
            "(a{1,1000}){1,1000}",
            "((a|aa)+)+b",
            "(a?){500}a{500}",
            "(.*a){30}",
            "(x+x+)+y",
            "[a-z]*a.{200}",
            r"(\p{L}{1,1000}\d){500}",
            "a{5,2}",
        ] {
            survives(Kind::Regex, regex);
        }
        let ors = (0..3000).map(|i| format!("a{i}")).collect::<Vec<_>>().join("|");
        survives(Kind::Regex, &ors);
        for schema in [
            r#"{"type": "array", "items": {"type": "integer"}, "maxItems": 1000000000}"#.to_string(),
            r#"{"type": "array", "items": {"type": "integer"}, "minItems": 1000000000}"#.into(),
            r#"{"type": "string", "minLength": 100000000, "maxLength": 200000000}"#.into(),
            r#"{"type": "number", "multipleOf": 1e-300, "maximum": 1e300}"#.into(),
            r#"{"type": "integer", "minimum": -1e18, "maximum": 1e18, "multipleOf": 999983}"#.into(),
            r#"{"type": "integer", "minimum": -1e18, "maximum": 1e18, "multipleOf": 9973}"#.into(),
            r#"{"type": "number", "multipleOf": 0.9973, "maximum": 1e9}"#.into(),
            r##"{"$ref": "#"}"##.into(),
            r##"{"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}"##.into(),
            r##"{"allOf": [{"$ref": "#"}, {"type": "object"}]}"##.into(),
            r##"{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}"##.into(),
        ] {
            survives(Kind::JsonSchema, &schema);
        }
        let any = |of: &str| {
            let part = |i: usize| {
                format!(r#"{{"anyOf": [{}]}}"#, (0..8).map(|j| format!(r#"{{"type": "object", "properties": {{"p{i}{j}": {{"type": "string"}}}}}}"#)).collect::<Vec<_>>().join(","))
            };
            object(&format!("\"{of}\": [{}]", (0..8).map(part).collect::<Vec<_>>().join(",")))
        };
        survives(Kind::JsonSchema, &any("allOf"));
        survives(Kind::JsonSchema, &any("oneOf"));
        let patterns = (0..32)
            .map(|i| format!("\"^(a|b)*{i}(a|b){{{i}}}$\": {{}}"))
            .collect::<Vec<_>>()
            .join(",");
        survives(Kind::JsonSchema, &object(&format!("\"patternProperties\": {{{patterns}}}")));
        let fields = (0..4000)
            .map(|i| format!("\"p{i}\": {{\"type\": \"string\"}}"))
            .collect::<Vec<_>>()
            .join(",");
        survives(
            Kind::JsonSchema,
            &object(&format!("\"type\": \"object\", \"properties\": {{{fields}}}")),
        );
        let values = (0..10000).map(|i| format!("\"value {i}\"")).collect::<Vec<_>>().join(",");
        survives(Kind::JsonSchema, &object(&format!("\"enum\": [{values}]")));
        for lark in [
            "start: start".to_string(),
            "start: start start | \"a\"".into(),
            "start: (\"a\"?){1,100000}".into(),
            "start: ((\"a\"{1,1000}){1,1000}){1,1000}".into(),
            "start: /a*/ start? | \"b\"".into(),
            "start: a{1000000000}\na: \"x\" | \"y\"".into(),
            "start: (\"a\" | \"a\" \"a\" | a){0,5000}\na: \"a\"* ".into(),
            format!(
                "start: r0\n{}r8000: \"x\"",
                (0..8000).map(|i| format!("r{i}: r{}\n", i + 1)).collect::<String>()
            ),
            format!(
                "start: T0\n{}T8000: \"x\"",
                (0..8000).map(|i| format!("T{i}: T{}\n", i + 1)).collect::<String>()
            ),
            format!(
                "start: r0\n{}r30: \"x\"",
                (0..30).map(|i| format!("r{i}: r{} r{}\n", i + 1, i + 1)).collect::<String>()
            ),
            format!(
                "start: T0\n{}T30: \"x\"",
                (0..30).map(|i| format!("T{i}: T{} T{}\n", i + 1, i + 1)).collect::<String>()
            ),
            format!("start: {}", "\"a\" | ".repeat(10000) + "\"b\""),
            format!("start: {}", "\"a\" ".repeat(20000)),
            "start: /(.*a.{20})/ & /(.*b.{20})/".into(),
            "start: T\nT: /(.*a.{20})/ & /(.*b.{20})/ & ~/(.*c.{22})/".into(),
            "start: %regex { \"substring_chars\": \"abcabcabc\" }".into(),
        ] {
            survives(Kind::Lark, &lark);
        }
    }

    #[test]
    fn many_threads_share_a_grammar() {
        fn shared<T: Send + Sync>(value: T) -> T {
            value
        }
        let grammar = shared(environment().compile(Kind::JsonSchema, PERSON.as_bytes()).unwrap());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(write(&mut grammar.matcher(), r#"{"name": "x""#)));
            }
        });
    }
}
