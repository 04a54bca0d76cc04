//! GPT-2's spelling of bytes as printable characters, which byte-level BPE vocabularies use.

use std::sync::OnceLock;

/// Printable Latin-1 bytes stand for themselves; the other 68 take U+0100 onwards, in order.
fn char_of_byte_table() -> &'static [char; 256] {
    static TABLE: OnceLock<[char; 256]> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = ['\0'; 256];
        let mut next = 0x100;
        for byte in 0..=255u8 {
            table[byte as usize] = match byte {
                0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => byte as char,
                _ => {
                    let spelled = char::from_u32(next).expect("below U+0200");
                    next += 1;
                    spelled
                }
            };
        }
        table
    })
}

fn byte_of_char(spelled: char) -> Option<u8> {
    static TABLE: OnceLock<[Option<u8>; 0x200]> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut table = [None; 0x200];
        for (byte, spelled) in char_of_byte_table().iter().enumerate() {
            table[*spelled as usize] = Some(byte as u8);
        }
        table
    });
    table.get(spelled as usize).copied().flatten()
}

/// Appends the spelling of `bytes` to `spelled`.
pub fn spell(bytes: &[u8], spelled: &mut String) {
    let table = char_of_byte_table();
    spelled.extend(bytes.iter().map(|byte| table[*byte as usize]));
}

/// The bytes a token of a byte-level vocabulary stands for. A token with a character outside the
/// alphabet was added by hand and stands for its own text.
pub fn bytes_of_token(token: &str) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = token.chars().map(byte_of_char).collect();
    bytes.unwrap_or_else(|| token.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_is_gpt2s_and_reversible() {
        let mut spelled = String::new();
        spell(b" a\n\xff", &mut spelled);
        assert_eq!(spelled, "\u{120}a\u{10a}\u{ff}");
        let all: Vec<u8> = (0..=255).collect();
        let mut spelled = String::new();
        spell(&all, &mut spelled);
        assert_eq!(bytes_of_token(&spelled), all);
        assert_eq!(bytes_of_token("a b"), b"a b");
    }
}
