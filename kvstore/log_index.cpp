#include "kvstore/log_index.h"

#include "config/assert.h"

namespace loyal::kvstore {

namespace {

template <class Map, class Key>
std::optional<LogSequence> value_at(const Map& map, const Key& key) {
    const auto found = map.find(key);
    return found == map.end() ? std::nullopt : std::optional<LogSequence>(found->second);
}

}  // namespace

void LogIndex::add_block(const consensus::BlockRef& block, const crypto::Digest& parent, LogSequence sequence) {
    blocks_.insert_or_assign(block.id, BlockEntry{sequence, block.height, parent});
}

void LogIndex::add_lock(consensus::View view, consensus::Height target, LogSequence sequence) {
    locks_[{static_cast<std::int64_t>(view.value), target.value}] = sequence;
    any_lock_ = true;
}

Result<void> LogIndex::add_commit(const consensus::BlockRef& block) {
    if (block.height <= committed_.height) {
        const bool same = block.height == consensus::Height(0) || committed_id(block.height) == block.id;
        return same ? Result<void>{}
                    : fail(Errc::conflict, "two blocks are committed at height " + std::to_string(block.height.value));
    }
    std::vector<crypto::Digest> ids;
    consensus::BlockRef at = block;
    while (at.height > committed_.height) {
        const BlockEntry* entry = this->block(at.id);
        if (entry == nullptr) {
            if (!waiting_ || waiting_->height < block.height) {
                waiting_ = block;
            }
            return {};
        }
        if (entry->height != at.height) {
            return fail(Errc::conflict,
                        "block " + at.id.short_hex() + " is not of height " + std::to_string(at.height.value));
        }
        ids.push_back(at.id);
        at = {at.height.minus(1), entry->parent};
    }
    if (at.id != committed_.id) {
        return fail(Errc::conflict, "the chain committed at height " + std::to_string(block.height.value) +
                                        " does not extend the one committed at " + std::to_string(at.height.value));
    }
    chain_.insert(chain_.end(), ids.rbegin(), ids.rend());
    committed_ = block;
    return {};
}

Result<void> LogIndex::settle() {
    if (!waiting_) {
        return {};
    }
    const consensus::BlockRef block = *waiting_;
    waiting_.reset();
    return add_commit(block);  // waits again when something is still missing
}

void LogIndex::forget_locks_below(const consensus::Lock& lock) {
    locks_.erase(locks_.begin(), locks_.lower_bound(lock.rank()));
}

const BlockEntry* LogIndex::block(const crypto::Digest& id) const {
    const auto found = blocks_.find(id);
    return found == blocks_.end() ? nullptr : &found->second;
}

std::optional<LogSequence> LogIndex::lock(const consensus::Lock& lock) const {
    return value_at(locks_, lock.rank());
}

std::optional<LogSequence> LogIndex::new_view(consensus::View view) const {
    return value_at(new_views_, view);
}

std::optional<LogSequence> LogIndex::view_change(consensus::View view) const {
    return value_at(view_changes_, view);
}

const crypto::Digest& LogIndex::committed_id(consensus::Height height) const {
    LOYAL_ASSERT(height.value >= 1 && height <= committed_.height, "only committed heights have a committed id");
    return chain_[height.value - 1];
}

IndexChange change_of(const consensus::LogRecord& record, LogSequence sequence) {
    struct Make {
        LogSequence sequence;
        IndexChange operator()(const consensus::VotingState&) const { return {}; }
        IndexChange operator()(const consensus::BlockRecord& record) const {
            return [ref = record.block->ref(), parent = record.block->header.parent, at = sequence](LogIndex& index) {
                index.add_block(ref, parent, at);
                return index.settle();
            };
        }
        IndexChange operator()(const consensus::LockRecord& record) const {
            return [view = record.certificate.view, height = record.certificate.target.height,
                    at = sequence](LogIndex& index) -> Result<void> {
                index.add_lock(view, height, at);
                return {};
            };
        }
        IndexChange operator()(const consensus::NewViewRecord& record) const {
            return [view = record.message.view, at = sequence](LogIndex& index) -> Result<void> {
                index.add_new_view(view, at);
                return {};
            };
        }
        IndexChange operator()(const consensus::ViewChangeRecord& record) const {
            return [view = record.message.new_view, at = sequence](LogIndex& index) -> Result<void> {
                index.add_view_change(view, at);
                return {};
            };
        }
        IndexChange operator()(const consensus::EvidenceRecord& record) const {
            return [id = consensus::evidence_id(record.evidence), at = sequence](LogIndex& index) -> Result<void> {
                index.add_evidence(id, at);
                return {};
            };
        }
        IndexChange operator()(const consensus::InstalledRecord&) const { return {}; }
        IndexChange operator()(const consensus::CommitRecord& record) const {
            std::optional<consensus::Height> certified;
            if (record.certificate) {
                certified = record.certificate->target.height;
            }
            return [block = record.block, certified, at = sequence](LogIndex& index) {
                if (certified) {
                    index.add_certificate(*certified, at);
                }
                return index.add_commit(block);
            };
        }
    };
    return std::visit(Make{sequence}, record);
}

}  // namespace loyal::kvstore
