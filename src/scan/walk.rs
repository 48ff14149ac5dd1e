//! Every import of a tree, with what stands around it.

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, IpyEscapeKind, Mod, Stmt};
use ruff_text_size::Ranged as _;

use super::calls::Aliases;
use super::guards::{self, Facts, Truth};
use super::nesting::deeper;
use super::place::Lines;
use super::{Import, Script, Tree, notebook};

/// What stands around a statement.
#[derive(Clone, Default)]
struct Around {
    optional: bool,
    only: Option<String>,
    deferred: bool,
    /// Names that the condition found before they are imported.
    found: Vec<String>,
}

struct Walker<'a> {
    lines: &'a Lines<'a>,
    text: &'a str,
    facts: &'a Facts,
    script: &'a mut Script,
    aliases: Aliases,
    around: Around,
    depth: usize,
    deepest: usize,
}

/// Adds what the tree imports; the result is how deep it is.
pub fn walk(tree: &Tree, lines: &Lines<'_>, facts: &Facts, script: &mut Script) -> usize {
    let aliases = Aliases::default();
    let around = Around::default();
    let text = lines.text();
    let mut walker = Walker { lines, text, facts, script, aliases, around, depth: 0, deepest: 0 };
    match tree.syntax() {
        Mod::Module(module) => walker.block(&module.body),
        Mod::Expression(expression) => walker.visit_expr(&expression.body),
    }
    walker.deepest
}

impl Walker<'_> {
    fn block(&mut self, body: &[Stmt]) {
        for statement in body {
            self.visit_stmt(statement);
        }
    }

    /// A block in which more is known.
    fn within(&mut self, body: &[Stmt], change: impl FnOnce(&mut Around)) {
        let before = self.around.clone();
        change(&mut self.around);
        self.block(body);
        self.around = before;
    }

    /// The branch of an `if` whose condition is `truth`.
    fn branch(&mut self, body: &[Stmt], truth: Truth, condition: &str, found: Vec<String>) {
        self.within(body, |around| {
            if truth.is_never() && around.only.is_none() {
                around.only = Some(condition.to_owned());
            }
            around.found.extend(found);
        });
    }

    fn add(&mut self, at: usize, module: &str, names: Vec<String>, lazy: bool) {
        let around = &self.around;
        let is_found = around.found.iter().any(|found| {
            module == found
                || module.strip_prefix(found.as_str()).is_some_and(|it| it.starts_with('.'))
        });
        self.script.imports.push(Import {
            module: module.to_owned(),
            names,
            place: self.lines.place(at),
            optional: around.optional || is_found,
            only: around.only.clone(),
            deferred: around.deferred || lazy,
        });
    }

    /// The condition as the script has it, in one line that people read.
    fn shown(&self, test: &Expr) -> String {
        let text = self.text.get(test.range().to_std_range()).unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").chars().take(80).collect()
    }

    /// Names that a condition looks for with `find_spec`.
    fn found_by(&self, test: &Expr) -> Vec<String> {
        struct Looking<'a>(&'a Aliases, Vec<String>);
        impl<'b> Visitor<'b> for Looking<'_> {
            fn visit_expr(&mut self, expression: &'b Expr) {
                if let Expr::Call(call) = expression
                    && let Some(called) = self.0.called(call)
                {
                    self.1.extend(called.module);
                }
                deeper(|| walk_expr(self, expression));
            }
        }
        let mut looking = Looking(&self.aliases, Vec::new());
        looking.visit_expr(test);
        looking.1
    }

    fn level<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        let done = deeper(|| work(self));
        self.depth -= 1;
        done
    }

    fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Import(import) => {
                for alias in &import.names {
                    let name = alias.name.as_str();
                    if let Some(other) = &alias.asname {
                        self.aliases.add(other.as_str(), name.to_owned());
                    }
                    self.add(alias.start().to_usize(), name, Vec::new(), import.is_lazy);
                }
            }
            Stmt::ImportFrom(import) if import.level == 0 => {
                // Without a name it is an error, and told as one.
                let Some(module) = &import.module else { return };
                for alias in &import.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name);
                    self.aliases.add(name.as_str(), format!("{module}.{}", alias.name.as_str()));
                }
                let names = import.names.iter().map(|it| it.name.to_string()).collect();
                let at = import.start().to_usize();
                self.add(at, module.as_str(), names, import.is_lazy);
            }
            Stmt::Try(block) => {
                let goes_on = guards::goes_on(block);
                self.within(&block.body, |around| around.optional |= goes_on);
                for handler in &block.handlers {
                    let ruff_python_ast::ExceptHandler::ExceptHandler(handler) = handler;
                    // What stands in for the first choice: one of both is enough.
                    self.within(&handler.body, |around| around.optional |= goes_on);
                }
                // It runs only where the body did not fail.
                self.within(&block.orelse, |around| around.optional |= goes_on);
                self.block(&block.finalbody);
            }
            Stmt::With(block) => {
                let suppresses = block.items.iter().any(|item| match &item.context_expr {
                    Expr::Call(call) => {
                        self.aliases.whole(&call.func).as_deref() == Some("contextlib.suppress")
                            && call.arguments.args.iter().any(guards::catches_import_error)
                    }
                    _ => false,
                });
                for item in &block.items {
                    self.visit_expr(&item.context_expr);
                }
                self.within(&block.body, |around| around.optional |= suppresses);
            }
            Stmt::If(branching) => {
                self.visit_expr(&branching.test);
                let mut truth = guards::truth(&branching.test, self.facts);
                let shown = self.shown(&branching.test);
                let found = self.found_by(&branching.test);
                self.branch(&branching.body, truth, &shown, found);
                let mut conditions = vec![shown];
                for clause in &branching.elif_else_clauses {
                    let before = format!("not ({})", conditions.join(" or "));
                    let reached = truth.opposite();
                    let Some(test) = &clause.test else {
                        self.branch(&clause.body, reached, &before, Vec::new());
                        continue;
                    };
                    self.visit_expr(test);
                    let (own, shown) = (guards::truth(test, self.facts), self.shown(test));
                    let found = self.found_by(test);
                    let (here, condition) =
                        if reached.is_never() { (reached, &before) } else { (own, &shown) };
                    self.branch(&clause.body, here, condition, found);
                    // A later branch is reached where none before it held.
                    truth = match (truth, own) {
                        (Truth::Holds, _) | (_, Truth::Holds) => Truth::Holds,
                        (Truth::NotTyping, _) | (_, Truth::NotTyping) => Truth::NotTyping,
                        (Truth::Open, _) | (_, Truth::Open) => Truth::Open,
                        (before, _) => before,
                    };
                    conditions.push(shown);
                }
            }
            Stmt::FunctionDef(_) => {
                let before = self.around.clone();
                self.around.deferred = true;
                walk_stmt(self, statement);
                self.around = before;
            }
            Stmt::IpyEscapeCommand(command) => {
                let at = command.start().to_usize();
                match command.kind {
                    IpyEscapeKind::Magic => self.magic(at, &command.value),
                    IpyEscapeKind::Shell | IpyEscapeKind::ShCap => self.shell(at, &command.value),
                    _ => {}
                }
            }
            other => walk_stmt(self, other),
        }
    }

    fn magic(&mut self, at: usize, value: &str) {
        if let Some(extension) = notebook::loaded_extension(value) {
            self.add(at, extension, Vec::new(), false);
        } else {
            self.shell(at, value);
        }
    }

    fn shell(&mut self, at: usize, value: &str) {
        let place = self.lines.place(at);
        let installed = notebook::installed(value).into_iter().map(|name| (name, place));
        self.script.installs.extend(installed);
    }
}

impl<'b> Visitor<'b> for Walker<'_> {
    fn visit_stmt(&mut self, statement: &'b Stmt) {
        self.level(|walker| walker.statement(statement));
    }

    fn visit_expr(&mut self, expression: &'b Expr) {
        if let Expr::Call(call) = expression
            && let Some(called) = self.aliases.called(call)
        {
            let at = call.func.start().to_usize();
            match called.module {
                // A relative one is the script's own.
                Some(name) if name.starts_with('.') => {}
                Some(name) if name.split('.').all(|part| !part.is_empty()) => {
                    let before = self.around.optional;
                    self.around.optional |= called.optional;
                    self.add(at, &name, Vec::new(), false);
                    self.around.optional = before;
                }
                Some(_) => {}
                None if !called.optional => self.script.unclear.push(self.lines.place(at)),
                None => {}
            }
        }
        if let Expr::IpyEscapeCommand(command) = expression {
            self.shell(command.start().to_usize(), &command.value);
        }
        self.level(|walker| walk_expr(walker, expression));
    }
}
