//! What keeps an import from being needed: it may fail, or it is for others.

use ruff_python_ast::{CmpOp, ExceptHandler, Expr, Number, Stmt, StmtTry, UnaryOp};

use super::calls::dotted;

/// What a script can ask of the interpreter that it is checked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `sys.version_info[:2]`
    pub version: (u8, u8),
    /// `sys.platform`
    pub platform: String,
    /// `os.name`
    pub os_name: String,
    /// `platform.system()`
    pub system: String,
}

/// What a condition is, as far as it can be told without running anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// For type checkers only; when it runs it is false.
    Typing,
    /// When it runs it is true, for type checkers it is false.
    NotTyping,
    /// It holds here.
    Holds,
    /// It does not hold here.
    Fails,
    /// It depends.
    Open,
}

impl Truth {
    /// That of the opposite condition.
    pub fn opposite(self) -> Self {
        match self {
            Self::Typing => Self::NotTyping,
            Self::NotTyping => Self::Typing,
            Self::Holds => Self::Fails,
            Self::Fails => Self::Holds,
            Self::Open => Self::Open,
        }
    }

    /// True if what stands below it never runs here.
    pub fn is_never(self) -> bool {
        matches!(self, Self::Typing | Self::Fails)
    }

    fn of(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

/// What the condition of an `if` is here.
pub fn truth(test: &Expr, facts: &Facts) -> Truth {
    match test {
        Expr::BooleanLiteral(literal) => Truth::of(literal.value),
        Expr::UnaryOp(not) if not.op == UnaryOp::Not => truth(&not.operand, facts).opposite(),
        Expr::BoolOp(operation) => {
            let mut parts = operation.values.iter().map(|part| truth(part, facts));
            if operation.op.is_and() {
                parts.find(|part| part.is_never()).unwrap_or(Truth::Open)
            } else if operation.values.iter().all(|part| truth(part, facts).is_never()) {
                parts.next().unwrap_or(Truth::Open)
            } else {
                Truth::Open
            }
        }
        Expr::Compare(compare) => match (&*compare.ops, &*compare.comparators) {
            ([op], [right]) => compared(&compare.left, *op, right, facts),
            _ => Truth::Open,
        },
        // sys.platform.startswith("win")
        Expr::Call(call) => {
            let Expr::Attribute(method) = &*call.func else { return Truth::Open };
            let value = text_of(&method.value, facts);
            match (value, method.attr.as_str(), &*call.arguments.args) {
                (Some(value), "startswith", [Expr::StringLiteral(prefix)]) => {
                    Truth::of(value.starts_with(prefix.value.to_str()))
                }
                _ => Truth::Open,
            }
        }
        other => match dotted(other).as_deref() {
            Some("TYPE_CHECKING" | "typing.TYPE_CHECKING" | "t.TYPE_CHECKING") => Truth::Typing,
            Some("six.PY2" | "PY2") => Truth::Fails,
            Some("six.PY3" | "PY3") => Truth::Holds,
            _ => Truth::Open,
        },
    }
}

fn compared(left: &Expr, op: CmpOp, right: &Expr, facts: &Facts) -> Truth {
    if let Some(value) = text_of(left, facts) {
        let is = |expression: &Expr| match expression {
            Expr::StringLiteral(text) => Some(text.value.to_str() == value),
            _ => None,
        };
        let among = |elements: &[Expr]| {
            let all: Option<Vec<bool>> = elements.iter().map(is).collect();
            all.map(|all| all.contains(&true))
        };
        let elements = match right {
            Expr::Tuple(tuple) => among(&tuple.elts),
            Expr::List(list) => among(&list.elts),
            Expr::Set(set) => among(&set.elts),
            _ => None,
        };
        let holds = match op {
            CmpOp::Eq => is(right),
            CmpOp::NotEq => is(right).map(|it| !it),
            CmpOp::In => elements,
            CmpOp::NotIn => elements.map(|it| !it),
            _ => None,
        };
        return holds.map_or(Truth::Open, Truth::of);
    }
    let Some(there) = version_in(left, right, facts) else { return Truth::Open };
    let Some(wanted) = numbers(right) else { return Truth::Open };
    let order = there.cmp(&wanted[..wanted.len().min(there.len())].to_vec());
    // (3, 12, …) is greater than (3, 12): only where both are of one length they can be equal.
    let longer = left_is_longer(left);
    let holds = match op {
        CmpOp::GtE => order.is_ge(),
        CmpOp::Gt if longer => order.is_ge(),
        CmpOp::Gt => order.is_gt(),
        CmpOp::Lt => order.is_lt(),
        CmpOp::LtE if longer => order.is_lt(),
        CmpOp::LtE => order.is_le(),
        CmpOp::Eq => order.is_eq(),
        CmpOp::NotEq => order.is_ne(),
        _ => return Truth::Open,
    };
    Truth::of(holds)
}

/// `sys.version_info` itself, and not a part of it.
fn left_is_longer(left: &Expr) -> bool {
    dotted(left).as_deref().is_some_and(|name| name.ends_with("version_info"))
}

/// The part of the version that is compared, as long as what it is compared with.
fn version_in(left: &Expr, right: &Expr, facts: &Facts) -> Option<Vec<u64>> {
    let version = vec![u64::from(facts.version.0), u64::from(facts.version.1)];
    let is_version = |name: &str| matches!(name, "sys.version_info" | "version_info");
    match left {
        Expr::Subscript(part) => {
            is_version(&dotted(&part.value)?).then_some(())?;
            match &*part.slice {
                Expr::NumberLiteral(index) => {
                    let Number::Int(index) = &index.value else { return None };
                    Some(vec![*version.get(usize::try_from(index.as_u64()?).ok()?)?])
                }
                _ => Some(version),
            }
        }
        Expr::Attribute(part) if part.attr.as_str() == "major" => {
            is_version(&dotted(&part.value)?).then(|| vec![version[0]])
        }
        Expr::Attribute(part) if part.attr.as_str() == "minor" => {
            is_version(&dotted(&part.value)?).then(|| vec![version[1]])
        }
        other => {
            is_version(&dotted(other)?).then_some(())?;
            let count = numbers(right)?.len().min(version.len());
            Some(version[..count].to_vec())
        }
    }
}

fn numbers(right: &Expr) -> Option<Vec<u64>> {
    let number = |expression: &Expr| match expression {
        Expr::NumberLiteral(literal) => match &literal.value {
            Number::Int(value) => value.as_u64(),
            _ => None,
        },
        _ => None,
    };
    match right {
        Expr::Tuple(tuple) => tuple.elts.iter().map(number).collect(),
        other => Some(vec![number(other)?]),
    }
}

/// What this text is here.
fn text_of<'a>(expression: &Expr, facts: &'a Facts) -> Option<&'a str> {
    match expression {
        Expr::Call(call) => {
            (dotted(&call.func)? == "platform.system").then_some(facts.system.as_str())
        }
        other => match dotted(other)?.as_str() {
            "sys.platform" => Some(&facts.platform),
            "os.name" => Some(&facts.os_name),
            _ => None,
        },
    }
}

/// True if the script goes on where an import in the body fails.
pub fn goes_on(block: &StmtTry) -> bool {
    block.handlers.iter().any(|handler| {
        let ExceptHandler::ExceptHandler(handler) = handler;
        let catches = handler.type_.as_deref().is_none_or(catches_import_error);
        catches && !handler.body.iter().any(ends)
    })
}

/// True if an exception class, or one of several, covers `ImportError`.
pub fn catches_import_error(class: &Expr) -> bool {
    match class {
        Expr::Tuple(tuple) => tuple.elts.iter().any(catches_import_error),
        other => dotted(other).is_some_and(|name| {
            let last = name.rsplit('.').next().unwrap_or_default();
            matches!(
                last,
                "ImportError"
                    | "ModuleNotFoundError"
                    | "Exception"
                    | "BaseException"
                    | "PackageNotFoundError"
            )
        }),
    }
}

/// The statement lets nothing behind it run: what failed has failed.
fn ends(statement: &Stmt) -> bool {
    match statement {
        Stmt::Raise(_) => true,
        Stmt::Expr(expression) => match &*expression.value {
            Expr::Call(call) => matches!(
                dotted(&call.func).as_deref(),
                Some("sys.exit" | "exit" | "quit" | "os._exit")
            ),
            _ => false,
        },
        _ => false,
    }
}
