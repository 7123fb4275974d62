#include "replica/state_transfer/old_state.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "config/limits.h"

namespace loyal::replica {

using kvstore::Leaf;
using kvstore::LeafName;
using kvstore::StateRecord;

OldState::OldState(const kvstore::Checkpoints* checkpoints) : checkpoints_(checkpoints) {
    if (checkpoints_ != nullptr) {
        roots_ = checkpoints_->roots();
        std::reverse(roots_.begin(), roots_.end());
    }
}

std::vector<std::vector<crypto::Digest>> OldState::subtrees(std::uint32_t index) {
    std::vector<std::vector<crypto::Digest>> found;
    for (const kvstore::StateRoot& root : roots_) {
        if (auto digests = checkpoints_->subtree(root.height, index)) {
            found.push_back(std::move(*digests));
        }
    }
    return found;
}

std::vector<std::vector<Leaf>> OldState::leaves(kvstore::Bucket bucket) {
    std::vector<std::vector<Leaf>> found;
    for (const kvstore::StateRoot& root : roots_) {
        if (auto leaves = checkpoints_->leaves(root.height, bucket)) {
            found.push_back(std::move(*leaves));
        }
    }
    return found;
}

std::vector<StateRecord> OldState::records(const std::vector<Leaf>& wanted) {
    std::vector<StateRecord> found;
    std::vector<Leaf> missing = wanted;
    for (const kvstore::StateRoot& root : roots_) {
        if (missing.empty()) {
            break;
        }
        const auto leaves = checkpoints_->leaves(root.height, kvstore::bucket_of(missing.front().name));
        if (!leaves) {
            continue;
        }
        std::vector<Leaf> here, elsewhere;
        for (const Leaf& leaf : missing) {
            (std::binary_search(leaves->begin(), leaves->end(), leaf) ? here : elsewhere).push_back(leaf);
        }
        std::vector<LeafName> names;
        std::transform(here.begin(), here.end(), std::back_inserter(names), [](const Leaf& leaf) { return leaf.name; });
        auto read = checkpoints_->records(root.height, names, limits::state_chunk_bytes_max);
        if (read && read->size() == names.size()) {
            std::move(read->begin(), read->end(), std::back_inserter(found));
            missing = std::move(elsewhere);
            continue;
        }
        for (const LeafName& name : names) {  // one by one: a damaged one takes no other with it
            if (auto one = checkpoints_->records(root.height, {name}, limits::state_chunk_bytes_max); one) {
                std::move(one->begin(), one->end(), std::back_inserter(found));
            }
        }
    }
    return found;
}

}  // namespace loyal::replica
