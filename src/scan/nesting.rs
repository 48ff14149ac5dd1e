//! What is nested deeper than any program needs is refused, so that no text can use up the memory.
//!
//! The parser takes new stack as it goes down. Python itself refuses a hundred nested blocks and two hundred
//! nested brackets.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer};

use super::Tree;

/// Below this size a text cannot be nested so deep that it matters, and its tokens are not counted.
const SMALL: usize = 64 << 10;

/// Brackets and blocks within each other, and operators in one expression.
const DEEPEST: usize = 20_000;

/// What dropping one level of a tree takes of the stack, with room to spare.
const LEVEL: usize = 1024;

/// Whether anything is nested too deep.
pub fn is_too_deep(text: &str, mode: Mode) -> bool {
    if text.len() <= SMALL {
        return false;
    }
    let mut lexer = lexer::lex(text, mode);
    let (mut brackets, mut blocks, mut operators) = (0_usize, 0_usize, 0_usize);
    loop {
        let kind = lexer.next_token();
        match kind {
            TokenKind::EndOfFile => return false,
            TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace => brackets += 1,
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace => {
                brackets = brackets.saturating_sub(1);
                // `f()()()`, `x[0][0]`: each goes around what stands before it.
                operators += 1;
            }
            TokenKind::Indent => blocks += 1,
            TokenKind::Dedent => blocks = blocks.saturating_sub(1),
            TokenKind::Comma | TokenKind::Newline => operators = 0,
            TokenKind::Name | TokenKind::Int | TokenKind::String => {}
            TokenKind::Comment | TokenKind::NonLogicalNewline => {}
            _ => operators += 1,
        }
        if brackets.max(blocks).max(operators) > DEEPEST {
            return true;
        }
    }
}

/// Drops a tree on a stack that is large enough for its depth.
pub fn drop_deep(tree: Tree, depth: usize) {
    if depth < 200 {
        drop(tree);
    } else {
        stacker::grow((1 << 20) + depth * LEVEL, || drop(tree));
    }
}

/// Goes one level down, on more stack where there is too little left.
pub fn deeper<R>(work: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(128 << 10, 2 << 20, work)
}
