//! A scan as a DataFusion table: Parquet parts read with pruning and projection, then rows in memory.

use crate::feed::{FeedExec, RowFeed};
use crate::limits::SortedExec;
use crate::source::PartFile;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result as DfResult};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr as DfExpr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use object_store::ObjectMeta;
use std::sync::Arc;

/// The rows of one scan.
#[derive(Debug)]
pub struct ScanTable {
    pub schema: SchemaRef,
    /// Where the parts are, and which.
    pub parts: Option<(ObjectStoreUrl, Vec<PartFile>)>,
    pub feed: Option<Arc<dyn RowFeed>>,
    pub batches: Vec<RecordBatch>,
    /// Reading is limited, and the filter of the scan reads what the rows are sorted by.
    pub sorted: bool,
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
        if let Some((url, files)) = self.parts.as_ref().filter(|(_, files)| !files.is_empty()) {
            let mut source = ParquetSource::new(Arc::clone(&self.schema)).with_enable_page_index(true);
            if let Some(filter) = conjunction(filters.iter().cloned()) {
                let schema = DFSchema::try_from(self.schema.as_ref().clone())?;
                let filter = unqualified(filter)?;
                source = source.with_predicate(state.create_physical_expr(filter, &schema)?);
            }
            let group: Vec<PartitionedFile> = files.iter().map(file).collect();
            // A limit counts rows before the filter, so it may only go down where there is none.
            let limit = limit.filter(|_| filters.is_empty());
            let config = FileScanConfigBuilder::new(url.clone(), Arc::new(source))
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

fn file(part: &PartFile) -> PartitionedFile {
    PartitionedFile::new_from_meta(ObjectMeta {
        location: part.path.clone(),
        // A part never changes under its name, so nothing reads its time.
        last_modified: Default::default(),
        size: part.bytes,
        e_tag: None,
        version: None,
    })
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
