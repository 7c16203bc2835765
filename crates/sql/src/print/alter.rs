//! ALTER and its commands.

use super::Printer;
use crate::ast::*;

impl Printer {
    pub(super) fn alter(&mut self, alter: &Alter) {
        self.put(match alter.object {
            AlterObject::Stream if alter.temporary => "ALTER TEMPORARY STREAM ",
            AlterObject::Stream => "ALTER STREAM ",
            AlterObject::View => "ALTER VIEW ",
            AlterObject::Database => "ALTER DATABASE ",
        });
        self.object(&alter.name);
        self.opt_name(" ON CLUSTER ", &alter.on_cluster);
        self.deeper(|p| {
            for (i, command) in alter.commands.iter().enumerate() {
                p.put_if(i > 0, ",");
                p.line();
                p.alter_command(command);
            }
        });
    }

    fn alter_command(&mut self, command: &AlterCommand) {
        use AlterCommand::*;
        match command {
            AddColumn { if_not_exists, column, place } => {
                self.if_not("ADD COLUMN ", *if_not_exists);
                self.column_def(column);
                self.place(place);
            }
            ModifyColumn { if_exists, column, place } => {
                self.if_exists("MODIFY COLUMN ", *if_exists);
                self.column_def(column);
                self.place(place);
            }
            RemoveColumnProperty { if_exists, name, property } => {
                self.if_exists("MODIFY COLUMN ", *if_exists);
                self.name_parts(name);
                self.put(&format!(" REMOVE {property}"));
            }
            DropColumn { if_exists, name } => self.named("DROP COLUMN ", *if_exists, name, &None),
            ClearColumn { if_exists, name, partition } => self.named("CLEAR COLUMN ", *if_exists, name, partition),
            MaterializeColumn { name, partition } => self.named("MATERIALIZE COLUMN ", false, name, partition),
            RenameColumn { if_exists, from, to } => {
                self.named("RENAME COLUMN ", *if_exists, from, &None);
                self.put(" TO ");
                self.name_parts(to);
            }
            CommentColumn { if_exists, name, comment } => {
                self.named("COMMENT COLUMN ", *if_exists, name, &None);
                self.put(" ");
                self.quoted(comment);
            }
            ModifyComment(comment) => {
                self.put("MODIFY COMMENT ");
                self.quoted(comment);
            }
            AddIndex { if_not_exists, index, place } => {
                self.if_not("ADD INDEX ", *if_not_exists);
                self.index_def(index);
                self.place(place);
            }
            DropIndex { if_exists, name } => self.named("DROP INDEX ", *if_exists, name, &None),
            ClearIndex { if_exists, name, partition } => self.named("CLEAR INDEX ", *if_exists, name, partition),
            MaterializeIndex { if_exists, name, partition } => {
                self.named("MATERIALIZE INDEX ", *if_exists, name, partition);
            }
            AddProjection { if_not_exists, projection, place } => {
                self.if_not("ADD PROJECTION ", *if_not_exists);
                self.projection_def(projection);
                self.place(place);
            }
            DropProjection { if_exists, name } => self.named("DROP PROJECTION ", *if_exists, name, &None),
            ClearProjection { if_exists, name, partition } => {
                self.named("CLEAR PROJECTION ", *if_exists, name, partition);
            }
            MaterializeProjection { if_exists, name, partition } => {
                self.named("MATERIALIZE PROJECTION ", *if_exists, name, partition);
            }
            AddConstraint { if_not_exists, constraint } => {
                self.if_not("ADD CONSTRAINT ", *if_not_exists);
                self.constraint_def(constraint);
            }
            DropConstraint { if_exists, name } => self.named("DROP CONSTRAINT ", *if_exists, name, &None),
            ModifyOrderBy(expr) => self.with_expr("MODIFY ORDER BY ", expr),
            ModifySampleBy(expr) => self.with_expr("MODIFY SAMPLE BY ", expr),
            RemoveSampleBy => self.put("REMOVE SAMPLE BY"),
            ModifyTtl(ttl) => {
                self.put("MODIFY TTL ");
                self.list(ttl, |p, ttl| p.ttl_element(ttl));
            }
            RemoveTtl => self.put("REMOVE TTL"),
            MaterializeTtl { partition } => {
                self.put("MATERIALIZE TTL");
                self.in_partition(partition);
            }
            ModifySetting(settings) => {
                self.put("MODIFY SETTING ");
                self.settings(settings);
            }
            ModifyQuerySetting(settings) => {
                self.put("MODIFY QUERY SETTING ");
                self.settings(settings);
            }
            ResetSetting(names) => {
                self.put("RESET SETTING ");
                self.list(names, |p, name| p.name(name));
            }
            ResetQuerySetting(names) => {
                self.put("RESET QUERY SETTING ");
                self.list(names, |p, name| p.name(name));
            }
            ModifyQuery(query) => {
                self.put("MODIFY QUERY ");
                self.query(query);
            }
            Delete { partition, filter } => {
                self.put("DELETE");
                self.in_partition(partition);
                self.with_expr(" WHERE ", filter);
            }
            Update { assignments, partition, filter } => {
                self.put("UPDATE ");
                self.assignments(assignments);
                self.in_partition(partition);
                self.with_expr(" WHERE ", filter);
            }
            _ => self.partition_command(command),
        }
    }

    fn partition_command(&mut self, command: &AlterCommand) {
        use AlterCommand::*;
        match command {
            DropPartition { detached, part, partition } => {
                self.part_of(if *detached { "DROP DETACHED" } else { "DROP" }, *part, partition);
            }
            DetachPartition { part, partition } => self.part_of("DETACH", *part, partition),
            AttachPartition { part, partition, from } => {
                self.part_of("ATTACH", *part, partition);
                if let Some(from) = from {
                    self.put(" FROM ");
                    self.object(from);
                }
            }
            ReplacePartition { partition, from } => {
                self.part_of("REPLACE", false, partition);
                self.put(" FROM ");
                self.object(from);
            }
            MovePartition { part, partition, to } => {
                self.part_of("MOVE", *part, partition);
                match to {
                    MoveTarget::Disk(disk) => {
                        self.put(" TO DISK ");
                        self.quoted(disk);
                    }
                    MoveTarget::Volume(volume) => {
                        self.put(" TO VOLUME ");
                        self.quoted(volume);
                    }
                    MoveTarget::Stream(name) => {
                        self.put(" TO STREAM ");
                        self.object(name);
                    }
                }
            }
            FetchPartition { part, partition, from } => {
                self.part_of("FETCH", *part, partition);
                self.put(" FROM ");
                self.quoted(from);
            }
            Freeze { partition, with_name } | Unfreeze { partition, with_name } => {
                self.put(if matches!(command, Freeze { .. }) { "FREEZE" } else { "UNFREEZE" });
                if let Some(partition) = partition {
                    self.put(" PARTITION ");
                    self.partition(partition);
                }
                self.opt_string(" WITH NAME ", with_name);
            }
            _ => {}
        }
    }

    fn part_of(&mut self, verb: &str, part: bool, partition: &Partition) {
        self.put(verb);
        self.put(if part { " PART " } else { " PARTITION " });
        self.partition(partition);
    }

    pub(super) fn partition(&mut self, partition: &Partition) {
        match partition {
            Partition::Expr(expr) => self.bare(expr),
            Partition::Id(id) => {
                self.put("ID ");
                self.quoted(id);
            }
            Partition::All => self.put("ALL"),
        }
    }

    fn in_partition(&mut self, partition: &Option<Partition>) {
        if let Some(partition) = partition {
            self.put(" IN PARTITION ");
            self.partition(partition);
        }
    }

    fn if_not(&mut self, words: &str, said: bool) {
        self.put(words);
        self.put_if(said, "IF NOT EXISTS ");
    }

    fn if_exists(&mut self, words: &str, said: bool) {
        self.put(words);
        self.put_if(said, "IF EXISTS ");
    }

    fn named(&mut self, words: &str, if_exists: bool, name: &str, partition: &Option<Partition>) {
        self.if_exists(words, if_exists);
        self.name_parts(name);
        self.in_partition(partition);
    }

    fn with_expr(&mut self, words: &str, expr: &Expr) {
        self.put(words);
        self.bare(expr);
    }

    fn place(&mut self, place: &Option<ColumnPlace>) {
        match place {
            Some(ColumnPlace::First) => self.put(" FIRST"),
            Some(ColumnPlace::After(name)) => {
                self.put(" AFTER ");
                self.name_parts(name);
            }
            None => {}
        }
    }
}
