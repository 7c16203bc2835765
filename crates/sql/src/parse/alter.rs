//! ALTER of streams, views and databases; ALTER USER and its kin go to `access`.

use super::cursor::{PResult, Parser};
use crate::ast::*;
use crate::lexer::TokenKind;

impl Parser<'_> {
    #[inline(never)]
    pub(super) fn alter(&mut self) -> PResult<StatementKind> {
        self.advance();
        if let Some(kind) = self.access_kind() {
            return self.access_entity(kind, true, false);
        }
        let temporary = self.eat_kw("TEMPORARY");
        let object = match self.eat_any(&["STREAM", "TABLE", "VIEW", "DATABASE"]) {
            Some("VIEW") => AlterObject::View,
            Some("DATABASE") => AlterObject::Database,
            Some(_) => AlterObject::Stream,
            None => return Err(self.unexpected("STREAM")),
        };
        let name = self.object_name()?;
        let on_cluster = self.on_cluster()?;
        let commands = self.list(|p| p.alter_command())?;
        Ok(StatementKind::Alter(Box::new(Alter { object, temporary, name, on_cluster, commands })))
    }

    /// `DELETE FROM t [IN PARTITION p] WHERE e` is `ALTER STREAM t DELETE … WHERE e`.
    #[inline(never)]
    pub(super) fn delete(&mut self) -> PResult<StatementKind> {
        self.advance();
        self.need_kw("FROM")?;
        let name = self.object_name()?;
        let on_cluster = self.on_cluster()?;
        let partition = self.in_partition()?;
        self.need_kw("WHERE")?;
        let commands = vec![AlterCommand::Delete { partition, filter: self.expr()? }];
        let object = AlterObject::Stream;
        Ok(StatementKind::Alter(Box::new(Alter { object, temporary: false, name, on_cluster, commands })))
    }

    fn alter_command(&mut self) -> PResult<AlterCommand> {
        self.count_nodes(1)?;
        let verbs = [
            "ADD",
            "DROP",
            "CLEAR",
            "MODIFY",
            "ALTER",
            "RENAME",
            "COMMENT",
            "MATERIALIZE",
            "REMOVE",
            "RESET",
            "DELETE",
            "UPDATE",
            "DETACH",
            "ATTACH",
            "REPLACE",
            "MOVE",
            "FETCH",
            "FREEZE",
            "UNFREEZE",
        ];
        match self.eat_any(&verbs) {
            Some("ADD") => self.alter_add(),
            Some("DROP") => self.alter_drop(),
            Some("CLEAR") => self.alter_clear(),
            Some("MODIFY" | "ALTER") => self.alter_modify(),
            Some("RENAME") => self.alter_rename(),
            Some("COMMENT") => self.alter_comment(),
            Some("MATERIALIZE") => self.alter_materialize(),
            Some("REMOVE") => {
                if self.eat_kw("SAMPLE BY") {
                    return Ok(AlterCommand::RemoveSampleBy);
                }
                self.need_kw("TTL")?;
                Ok(AlterCommand::RemoveTtl)
            }
            Some("RESET") => {
                if self.eat_kw("QUERY SETTING") {
                    return Ok(AlterCommand::ResetQuerySetting(self.list(|p| p.name())?));
                }
                self.need_kw("SETTING")?;
                Ok(AlterCommand::ResetSetting(self.list(|p| p.name())?))
            }
            Some("DELETE") => {
                let partition = self.in_partition()?;
                self.need_kw("WHERE")?;
                Ok(AlterCommand::Delete { partition, filter: self.expr()? })
            }
            Some("UPDATE") => {
                let assignments = self.assignments()?;
                let partition = self.in_partition()?;
                self.need_kw("WHERE")?;
                Ok(AlterCommand::Update { assignments, partition, filter: self.expr()? })
            }
            Some(verb) => self.alter_partition(verb),
            None => Err(self.unexpected("ALTER command")),
        }
    }

    fn if_exists(&mut self) -> bool {
        self.eat_kw("IF EXISTS")
    }

    fn place(&mut self) -> PResult<Option<ColumnPlace>> {
        if self.eat_kw("FIRST") {
            return Ok(Some(ColumnPlace::First));
        }
        if self.eat_kw("AFTER") { Ok(Some(ColumnPlace::After(self.identifier()?.full()))) } else { Ok(None) }
    }

    fn alter_add(&mut self) -> PResult<AlterCommand> {
        match self.eat_any(&["COLUMN", "INDEX", "PROJECTION", "CONSTRAINT"]) {
            Some("COLUMN") => Ok(AlterCommand::AddColumn {
                if_not_exists: self.if_not_exists(),
                column: self.column_def(true)?,
                place: self.place()?,
            }),
            Some("INDEX") => Ok(AlterCommand::AddIndex {
                if_not_exists: self.if_not_exists(),
                index: self.index_def()?,
                place: self.place()?,
            }),
            Some("PROJECTION") => Ok(AlterCommand::AddProjection {
                if_not_exists: self.if_not_exists(),
                projection: self.projection_def()?,
                place: self.place()?,
            }),
            Some(_) => Ok(AlterCommand::AddConstraint {
                if_not_exists: self.if_not_exists(),
                constraint: self.constraint_def()?,
            }),
            None => Err(self.unexpected("COLUMN")),
        }
    }

    fn alter_drop(&mut self) -> PResult<AlterCommand> {
        let what = self.eat_any(&[
            "COLUMN",
            "INDEX",
            "PROJECTION",
            "CONSTRAINT",
            "DETACHED PARTITION",
            "DETACHED PART",
            "PARTITION",
            "PART",
        ]);
        match what {
            Some("COLUMN") => {
                Ok(AlterCommand::DropColumn { if_exists: self.if_exists(), name: self.identifier()?.full() })
            }
            Some("INDEX") => Ok(AlterCommand::DropIndex { if_exists: self.if_exists(), name: self.name()? }),
            Some("PROJECTION") => Ok(AlterCommand::DropProjection { if_exists: self.if_exists(), name: self.name()? }),
            Some("CONSTRAINT") => Ok(AlterCommand::DropConstraint { if_exists: self.if_exists(), name: self.name()? }),
            Some(words) => {
                let part = words.ends_with("PART");
                let detached = words.starts_with("DETACHED");
                Ok(AlterCommand::DropPartition { detached, part, partition: self.partition_or_part(part)? })
            }
            None => Err(self.unexpected("COLUMN")),
        }
    }

    fn alter_clear(&mut self) -> PResult<AlterCommand> {
        match self.eat_any(&["COLUMN", "INDEX", "PROJECTION"]) {
            Some("COLUMN") => Ok(AlterCommand::ClearColumn {
                if_exists: self.if_exists(),
                name: self.identifier()?.full(),
                partition: self.in_partition()?,
            }),
            Some("INDEX") => Ok(AlterCommand::ClearIndex {
                if_exists: self.if_exists(),
                name: self.name()?,
                partition: self.in_partition()?,
            }),
            Some(_) => Ok(AlterCommand::ClearProjection {
                if_exists: self.if_exists(),
                name: self.name()?,
                partition: self.in_partition()?,
            }),
            None => Err(self.unexpected("COLUMN")),
        }
    }

    fn alter_materialize(&mut self) -> PResult<AlterCommand> {
        match self.eat_any(&["COLUMN", "INDEX", "PROJECTION", "TTL"]) {
            Some("COLUMN") => {
                Ok(AlterCommand::MaterializeColumn { name: self.identifier()?.full(), partition: self.in_partition()? })
            }
            Some("INDEX") => Ok(AlterCommand::MaterializeIndex {
                if_exists: self.if_exists(),
                name: self.name()?,
                partition: self.in_partition()?,
            }),
            Some("PROJECTION") => Ok(AlterCommand::MaterializeProjection {
                if_exists: self.if_exists(),
                name: self.name()?,
                partition: self.in_partition()?,
            }),
            Some(_) => Ok(AlterCommand::MaterializeTtl { partition: self.in_partition()? }),
            None => Err(self.unexpected("COLUMN")),
        }
    }

    #[inline(never)]
    fn alter_modify(&mut self) -> PResult<AlterCommand> {
        let kinds =
            ["ORDER BY", "SAMPLE BY", "TTL", "SETTING", "SETTINGS", "QUERY SETTING", "QUERY", "COMMENT", "COLUMN"];
        match self.eat_any(&kinds) {
            Some("ORDER BY") => Ok(AlterCommand::ModifyOrderBy(self.expr()?)),
            Some("SAMPLE BY") => Ok(AlterCommand::ModifySampleBy(self.expr()?)),
            Some("TTL") => Ok(AlterCommand::ModifyTtl(self.ttl_elements()?)),
            Some("SETTING" | "SETTINGS") => Ok(AlterCommand::ModifySetting(self.settings()?)),
            Some("QUERY SETTING") => Ok(AlterCommand::ModifyQuerySetting(self.settings()?)),
            Some("QUERY") => Ok(AlterCommand::ModifyQuery(Box::new(self.query()?))),
            Some("COMMENT") => Ok(AlterCommand::ModifyComment(self.string()?)),
            _ => self.modify_column(),
        }
    }

    fn modify_column(&mut self) -> PResult<AlterCommand> {
        let if_exists = self.if_exists();
        let mut after_name = 1;
        while self.kind_ahead(after_name) == TokenKind::Dot {
            after_name += 2;
        }
        if self.is_word(after_name, "REMOVE") {
            let name = self.identifier()?.full();
            self.advance();
            let properties = ["DEFAULT", "MATERIALIZED", "ALIAS", "EPHEMERAL", "COMMENT", "CODEC", "TTL"];
            let Some(property) = self.eat_any(&properties) else { return Err(self.unexpected("DEFAULT")) };
            return Ok(AlterCommand::RemoveColumnProperty { if_exists, name, property: property.to_owned() });
        }
        if self.is_word(after_name, "TYPE") && matches!(self.kind_ahead(after_name + 1), TokenKind::Word) {
            // `ALTER COLUMN c TYPE t`
            let name = self.identifier()?.full();
            self.advance();
            let mut column = self.column_named(name)?;
            column.ty = Some(self.type_name()?);
            return Ok(AlterCommand::ModifyColumn { if_exists, column, place: self.place()? });
        }
        let column = self.column_def(false)?;
        Ok(AlterCommand::ModifyColumn { if_exists, column, place: self.place()? })
    }

    fn column_named(&mut self, name: String) -> PResult<ColumnDef> {
        Ok(ColumnDef {
            name,
            ty: None,
            nullable: None,
            default: None,
            comment: None,
            codec: Vec::new(),
            ttl: None,
            collation: None,
            primary_key: false,
            span: Span::default(),
        })
    }

    fn alter_rename(&mut self) -> PResult<AlterCommand> {
        self.need_kw("COLUMN")?;
        let if_exists = self.if_exists();
        let from = self.identifier()?.full();
        self.need_kw("TO")?;
        Ok(AlterCommand::RenameColumn { if_exists, from, to: self.identifier()?.full() })
    }

    fn alter_comment(&mut self) -> PResult<AlterCommand> {
        self.need_kw("COLUMN")?;
        let if_exists = self.if_exists();
        Ok(AlterCommand::CommentColumn { if_exists, name: self.identifier()?.full(), comment: self.string()? })
    }

    #[inline(never)]
    fn alter_partition(&mut self, verb: &'static str) -> PResult<AlterCommand> {
        if matches!(verb, "FREEZE" | "UNFREEZE") {
            let partition = if self.eat_kw("PARTITION") { Some(self.partition()?) } else { None };
            let with_name = if self.eat_kw("WITH NAME") { Some(self.string()?) } else { None };
            return Ok(match verb {
                "FREEZE" => AlterCommand::Freeze { partition, with_name },
                _ => AlterCommand::Unfreeze { partition, with_name },
            });
        }
        let part = match self.eat_any(&["PARTITION", "PART"]) {
            Some(word) => word == "PART",
            None => return Err(self.unexpected("PARTITION")),
        };
        let partition = self.partition_or_part(part)?;
        match verb {
            "DETACH" => Ok(AlterCommand::DetachPartition { part, partition }),
            "ATTACH" => {
                let from = if self.eat_kw("FROM") { Some(self.object_name()?) } else { None };
                Ok(AlterCommand::AttachPartition { part, partition, from })
            }
            "REPLACE" => {
                self.need_kw("FROM")?;
                Ok(AlterCommand::ReplacePartition { partition, from: self.object_name()? })
            }
            "FETCH" => {
                self.need_kw("FROM")?;
                Ok(AlterCommand::FetchPartition { part, partition, from: self.string()? })
            }
            _ => {
                self.need_kw("TO")?;
                let to = match self.eat_any(&["DISK", "VOLUME", "STREAM", "TABLE"]) {
                    Some("DISK") => MoveTarget::Disk(self.string()?),
                    Some("VOLUME") => MoveTarget::Volume(self.string()?),
                    Some(_) => MoveTarget::Stream(self.object_name()?),
                    None => return Err(self.unexpected("DISK")),
                };
                Ok(AlterCommand::MovePartition { part, partition, to })
            }
        }
    }

    fn in_partition(&mut self) -> PResult<Option<Partition>> {
        if self.eat_kw("IN PARTITION") { Ok(Some(self.partition()?)) } else { Ok(None) }
    }

    fn partition_or_part(&mut self, part: bool) -> PResult<Partition> {
        if part { Ok(Partition::Expr(Expr::string(self.string()?))) } else { self.partition() }
    }

    pub(super) fn partition(&mut self) -> PResult<Partition> {
        if self.is_kw("ID") && self.kind_ahead(1) == TokenKind::String {
            self.advance();
            return Ok(Partition::Id(self.string()?));
        }
        if self.eat_kw("ALL") {
            return Ok(Partition::All);
        }
        // Tighter than IN, which may follow.
        Ok(Partition::Expr(self.expr_above(super::expr::CONCAT)?))
    }
}
