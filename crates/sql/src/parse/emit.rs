//! EMIT, in the grammar of 1.6 and the one of 3.x.

use super::cursor::{PResult, Parser};
use super::expr::LAMBDA;
use crate::ast::*;

impl Parser<'_> {
    /// What follows the word EMIT. Each option at most once; AND joins options and means nothing by itself.
    #[inline(never)]
    pub(super) fn emit(&mut self) -> PResult<Emit> {
        let first = self.index();
        let mode = match self.eat_any(&["STREAM", "CHANGELOG"]) {
            Some("STREAM") => Some(EmitMode::Stream),
            Some(_) => Some(EmitMode::Changelog),
            None => None,
        };
        let mut emit = Emit { mode, ..Emit::default() };
        loop {
            let joined = self.eat_kw("AND");
            if !self.emit_option(&mut emit)? {
                if joined {
                    return Err(self.unexpected("EMIT option"));
                }
                break;
            }
        }
        emit.span = self.span_since(first);
        Ok(emit)
    }

    fn emit_option(&mut self, emit: &mut Emit) -> PResult<bool> {
        if self.is_kw("AFTER") {
            let after = self.emit_after()?;
            return self.once(emit.after.replace(after).is_none());
        }
        if self.eat_kw("WITH DELAY") || self.eat_kw("DELAY") {
            let delay = self.emit_interval()?;
            return self.once(emit.delay.replace(delay).is_none());
        }
        if self.eat_kw("PERIODIC") {
            let period = self.emit_interval()?;
            emit.repeat = self.eat_kw("REPEAT");
            return self.once(emit.periodic.replace(period).is_none());
        }
        if self.eat_kw("ON UPDATE") {
            let new = !std::mem::replace(&mut emit.on_update, true);
            if self.eat_kw("WITH BATCH") {
                emit.batch = Some(self.emit_interval()?);
            }
            return self.once(new);
        }
        if self.eat_kw("PER EVENT") {
            return self.once(!std::mem::replace(&mut emit.per_event, true));
        }
        if self.eat_kw("WITH TIMEOUT") || self.eat_kw("TIMEOUT") {
            let timeout = self.emit_interval()?;
            return self.once(emit.timeout.replace(timeout).is_none());
        }
        if self.eat_kw("LAST") {
            let last = self.emit_interval()?;
            emit.last_on_proctime = self.eat_kw("ON PROCTIME");
            return self.once(emit.last.replace(last).is_none());
        }
        Ok(false)
    }

    fn once(&mut self, first_time: bool) -> PResult<bool> {
        if first_time { Ok(true) } else { Err(self.unexpected("each EMIT option once")) }
    }

    fn emit_interval(&mut self) -> PResult<Expr> {
        let place = self.token();
        let interval = self.expr_above(LAMBDA + 4)?;
        match interval.as_function() {
            Some(f) if f.name.starts_with("to_interval_") => Ok(interval),
            _ => Err(self.error_at(place, "interval")),
        }
    }

    fn emit_after(&mut self) -> PResult<EmitAfter> {
        if self.eat_kw("AFTER WATERMARK") {
            return Ok(EmitAfter::Watermark);
        }
        if self.eat_kw("AFTER WINDOW CLOSE") {
            return Ok(EmitAfter::WindowClose);
        }
        let key_expire = self.eat_kw("AFTER KEY EXPIRE");
        if !key_expire {
            self.need_kw("AFTER SESSION CLOSE")?;
        }
        let mut identified_by = Vec::new();
        if self.eat_kw("IDENTIFIED BY") {
            identified_by = if self.at(crate::lexer::TokenKind::LParen) {
                self.parens(|p| p.aliased_expr())?
            } else {
                vec![self.expr_above(LAMBDA + 4)?]
            };
        }
        let (mut only, mut maxspan) = (false, None);
        if self.is_kw("WITH ONLY MAXSPAN") || self.is_kw("WITH MAXSPAN") {
            self.advance();
            only = self.eat_kw("ONLY");
            self.advance();
            maxspan = Some(self.emit_interval()?);
        }
        Ok(EmitAfter::SessionClose { key_expire, identified_by, only, maxspan })
    }
}
