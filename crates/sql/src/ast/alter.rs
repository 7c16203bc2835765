//! ALTER and its commands.

use super::{
    Assignment, ColumnDef, ConstraintDef, Expr, IndexDef, ObjectName, ProjectionDef, Query, Setting, TtlElement,
};

#[derive(Clone, Debug, PartialEq)]
pub struct Alter {
    pub object: AlterObject,
    pub temporary: bool,
    pub name: ObjectName,
    pub on_cluster: Option<String>,
    pub commands: Vec<AlterCommand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlterObject {
    Stream,
    View,
    Database,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ColumnPlace {
    First,
    After(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum AlterCommand {
    AddColumn {
        if_not_exists: bool,
        column: ColumnDef,
        place: Option<ColumnPlace>,
    },
    DropColumn {
        if_exists: bool,
        name: String,
    },
    ClearColumn {
        if_exists: bool,
        name: String,
        partition: Option<Partition>,
    },
    ModifyColumn {
        if_exists: bool,
        column: ColumnDef,
        place: Option<ColumnPlace>,
    },
    /// `MODIFY COLUMN c REMOVE DEFAULT|MATERIALIZED|ALIAS|COMMENT|CODEC|TTL`; `property` is upper case.
    RemoveColumnProperty {
        if_exists: bool,
        name: String,
        property: String,
    },
    RenameColumn {
        if_exists: bool,
        from: String,
        to: String,
    },
    CommentColumn {
        if_exists: bool,
        name: String,
        comment: String,
    },
    MaterializeColumn {
        name: String,
        partition: Option<Partition>,
    },
    ModifyComment(String),
    AddIndex {
        if_not_exists: bool,
        index: IndexDef,
        place: Option<ColumnPlace>,
    },
    DropIndex {
        if_exists: bool,
        name: String,
    },
    ClearIndex {
        if_exists: bool,
        name: String,
        partition: Option<Partition>,
    },
    MaterializeIndex {
        if_exists: bool,
        name: String,
        partition: Option<Partition>,
    },
    AddProjection {
        if_not_exists: bool,
        projection: ProjectionDef,
        place: Option<ColumnPlace>,
    },
    DropProjection {
        if_exists: bool,
        name: String,
    },
    ClearProjection {
        if_exists: bool,
        name: String,
        partition: Option<Partition>,
    },
    MaterializeProjection {
        if_exists: bool,
        name: String,
        partition: Option<Partition>,
    },
    AddConstraint {
        if_not_exists: bool,
        constraint: ConstraintDef,
    },
    DropConstraint {
        if_exists: bool,
        name: String,
    },
    ModifyOrderBy(Expr),
    ModifySampleBy(Expr),
    RemoveSampleBy,
    ModifyTtl(Vec<TtlElement>),
    RemoveTtl,
    MaterializeTtl {
        partition: Option<Partition>,
    },
    ModifySetting(Vec<Setting>),
    ResetSetting(Vec<String>),
    /// `MODIFY QUERY SETTING …` of a materialized view.
    ModifyQuerySetting(Vec<Setting>),
    ResetQuerySetting(Vec<String>),
    ModifyQuery(Box<Query>),
    Delete {
        partition: Option<Partition>,
        filter: Expr,
    },
    Update {
        assignments: Vec<Assignment>,
        partition: Option<Partition>,
        filter: Expr,
    },
    DropPartition {
        detached: bool,
        part: bool,
        partition: Partition,
    },
    DetachPartition {
        part: bool,
        partition: Partition,
    },
    AttachPartition {
        part: bool,
        partition: Partition,
        from: Option<ObjectName>,
    },
    ReplacePartition {
        partition: Partition,
        from: ObjectName,
    },
    MovePartition {
        part: bool,
        partition: Partition,
        to: MoveTarget,
    },
    FetchPartition {
        part: bool,
        partition: Partition,
        from: String,
    },
    Freeze {
        partition: Option<Partition>,
        with_name: Option<String>,
    },
    Unfreeze {
        partition: Option<Partition>,
        with_name: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum MoveTarget {
    Disk(String),
    Volume(String),
    Stream(ObjectName),
}

/// `PARTITION expr`, `PARTITION ID 'id'`, `PARTITION ALL`; of a PART command, the part's name is the expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Partition {
    Expr(Expr),
    Id(String),
    All,
}
