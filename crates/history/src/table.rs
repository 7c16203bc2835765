//! A scan as a DataFusion table: Parquet parts read with pruning and projection, then rows in memory.

use crate::feed::{FeedExec, RowFeed};
use crate::limits::SortedExec;
use crate::source::PartFile;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result as DfResult, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadataCache};
use datafusion::execution::cache::default_cache::DefaultCache;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr as DfExpr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use futures::stream::StreamExt;
use hydron_base::limit::PART_FOOTERS_BYTES_MAX;
use hydron_plan::{ExprKind, Node, Plan, SortKey};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore};
use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

/// Footers that are read at the same time to put files in order.
const FOOTERS_AT_ONCE: usize = 16;

/// The rows of one scan.
#[derive(Debug)]
pub struct ScanTable {
    pub schema: SchemaRef,
    pub parts: Option<PartScan>,
    pub feed: Option<Arc<dyn RowFeed>>,
    pub batches: Vec<RecordBatch>,
    /// Reading is limited, and the filter of the scan reads what the rows are sorted by.
    pub sorted: bool,
}

/// The parts of a scan.
#[derive(Debug)]
pub struct PartScan {
    pub url: ObjectStoreUrl,
    pub objects: Arc<dyn ObjectStore>,
    pub files: Vec<PartFile>,
    /// Only the first rows by this order are wanted: parts that may have them are read first, and others perhaps not at all.
    pub top: Option<Top>,
}

/// An order by one column.
#[derive(Clone, Copy, Debug)]
pub struct Top {
    column: usize,
    descending: bool,
}

impl Top {
    /// `None`: the key is more than a column.
    pub fn of(key: &SortKey) -> Option<Top> {
        match key.expr.kind {
            ExprKind::Column(column) => Some(Top { column, descending: key.descending }),
            _ => None,
        }
    }

    /// The same order over the rows that `plan` reads. `None`: it has no such column, or other rows.
    pub fn below(self, plan: &Plan) -> Option<Top> {
        match &plan.node {
            Node::Filter { .. } | Node::Scan(_) => Some(self),
            Node::Project { exprs, .. } => match exprs.get(self.column)?.kind {
                ExprKind::Column(column) => Some(Top { column, ..self }),
                _ => None,
            },
            _ => None,
        }
    }
}

impl PartScan {
    /// The files, those first whose statistics promise the first rows.
    async fn files(&self, schema: &SchemaRef) -> Vec<PartitionedFile> {
        let field = self.top.and_then(|top| Some((top, schema.fields().get(top.column)?)));
        let Some((top, field)) = field.filter(|_| self.files.len() > 1) else {
            return self.files.iter().map(|f| PartitionedFile::new_from_meta(object_meta(f))).collect();
        };
        let only = Arc::new(Schema::new(vec![Arc::clone(field)]));
        let metas: Vec<ObjectMeta> = self.files.iter().map(object_meta).collect();
        let known = metas.into_iter().map(|meta| {
            let (objects, only, schema) = (Arc::clone(&self.objects), Arc::clone(&only), Arc::clone(schema));
            async move { known_of(objects.as_ref(), meta, top, &only, &schema).await }
        });
        let known = futures::stream::iter(known);
        let mut known: Vec<_> = known.buffered(FOOTERS_AT_ONCE).collect().await;
        known.sort_by(|(a, _), (b, _)| match (a, b) {
            (Some(a), Some(b)) => {
                let order = a.partial_cmp(b).unwrap_or(Ordering::Equal);
                if top.descending { order.reverse() } else { order }
            }
            // What is not known cannot be left out, so it may as well come last.
            (a, b) => a.is_none().cmp(&b.is_none()),
        });
        known.into_iter().map(|(_, file)| file).collect()
    }
}

/// A file with its bounds of the column of `top`, and the bound that `top` goes by. `only` is that column of `schema`.
async fn known_of(
    objects: &dyn ObjectStore,
    meta: ObjectMeta,
    top: Top,
    only: &SchemaRef,
    schema: &SchemaRef,
) -> (Option<ScalarValue>, PartitionedFile) {
    let footer = DFParquetMetadata::new(objects, &meta).with_file_metadata_cache(Some(footers()));
    // A file that cannot be read says so when it is.
    let column = footer.fetch_statistics(only).await.ok().and_then(|mut s| s.column_statistics.pop());
    let file = PartitionedFile::new_from_meta(meta);
    let Some(column) = column else { return (None, file) };
    let bound = if top.descending { &column.max_value } else { &column.min_value };
    let bound = bound.get_value().cloned();
    let mut statistics = Statistics::new_unknown(schema);
    statistics.column_statistics[top.column] = column;
    (bound, file.with_statistics(Arc::new(statistics)))
}

/// The footers that were read last: a part never changes, and its name is used once.
fn footers() -> Arc<FileMetadataCache> {
    static FOOTERS: OnceLock<Arc<FileMetadataCache>> = OnceLock::new();
    let new = || Arc::new(DefaultCache::<ObjectPath, CachedFileMetadataEntry>::new(PART_FOOTERS_BYTES_MAX)) as _;
    Arc::clone(FOOTERS.get_or_init(new))
}

#[async_trait]
impl TableProvider for ScanTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Parts skip row groups by what DataFusion understands itself; every row is checked again above.
    fn supports_filters_pushdown(&self, filters: &[&DfExpr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let support = |f: &&DfExpr| match self.parts.is_some() && is_native(f) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[DfExpr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut inputs: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if let Some(feed) = &self.feed {
            inputs.push(Arc::new(FeedExec::new(Arc::clone(feed), Arc::clone(&self.schema), projection)?));
        }
        if let Some(parts) = self.parts.as_ref().filter(|p| !p.files.is_empty()) {
            let reader = CachedParquetFileReaderFactory::new(Arc::clone(&parts.objects), footers());
            let mut source = ParquetSource::new(Arc::clone(&self.schema))
                .with_enable_page_index(true)
                .with_parquet_file_reader_factory(Arc::new(reader));
            if let Some(filter) = conjunction(filters.iter().cloned()) {
                let schema = DFSchema::try_from(self.schema.as_ref().clone())?;
                let filter = unqualified(filter)?;
                source = source.with_predicate(state.create_physical_expr(filter, &schema)?);
            }
            let group = parts.files(&self.schema).await;
            // A limit counts rows before the filter, so it may only go down where there is none.
            let limit = limit.filter(|_| filters.is_empty());
            let config = FileScanConfigBuilder::new(parts.url.clone(), Arc::new(source))
                .with_file_group(FileGroup::new(group))
                .with_projection_indices(projection.cloned())?
                .with_limit(limit)
                .build();
            inputs.push(DataSourceExec::from_data_source(config));
        }
        if !self.batches.is_empty() || inputs.is_empty() {
            let partitions = [self.batches.clone()];
            inputs.push(MemorySourceConfig::try_new_exec(&partitions, Arc::clone(&self.schema), projection.cloned())?);
        }
        let rows = match inputs.len() {
            1 => inputs.swap_remove(0),
            _ => UnionExec::try_new(inputs)?,
        };
        Ok(if self.sorted { Arc::new(SortedExec(rows)) } else { rows })
    }
}

fn object_meta(part: &PartFile) -> ObjectMeta {
    ObjectMeta {
        location: part.path.clone(),
        // A part never changes under its name, so nothing reads its time.
        last_modified: Default::default(),
        size: part.bytes,
        e_tag: None,
        version: None,
    }
}

/// The filter over bare column names, as the file's schema has them.
fn unqualified(filter: DfExpr) -> DfResult<DfExpr> {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let bare = filter.transform(|e| match e {
        DfExpr::Column(c) if c.relation.is_some() => {
            Ok(Transformed::yes(DfExpr::Column(datafusion::common::Column::new_unqualified(c.name))))
        }
        e => Ok(Transformed::no(e)),
    })?;
    Ok(bare.data)
}

/// Columns, literals, comparisons and connectives only.
fn is_native(filter: &DfExpr) -> bool {
    match filter {
        DfExpr::Column(_) | DfExpr::Literal(..) => true,
        DfExpr::BinaryExpr(b) => is_native(&b.left) && is_native(&b.right),
        DfExpr::Not(e) | DfExpr::IsNull(e) | DfExpr::IsNotNull(e) => is_native(e),
        _ => false,
    }
}
