#include "client/backup/root_calculator.h"

namespace loyal::backup {

Result<void> RootCalculator::add(const kvstore::StateRecord& record) {
    const kvstore::Leaf leaf{kvstore::leaf_name(salt_, record.table, record.key),
                             kvstore::leaf_digest(record.table, record.key, record.content)};
    if (!leaves_.empty()) {
        if (!(leaves_.back().name < leaf.name)) {
            return fail(Errc::corrupted, "records of the state are out of order");
        }
        if (kvstore::bucket_of(leaves_.back().name) != kvstore::bucket_of(leaf.name)) {
            end_bucket();
        }
    }
    leaves_.push_back(leaf);
    ++records_;
    return {};
}

void RootCalculator::end_bucket() {
    tree_.set_bucket(kvstore::bucket_of(leaves_.front().name), kvstore::bucket_digest(leaves_));
    leaves_.clear();
}

crypto::Digest RootCalculator::finish() {
    if (!leaves_.empty()) {
        end_bucket();
    }
    tree_.update();
    return tree_.root();
}

}  // namespace loyal::backup
