#include "kvstore/log_index.h"

#include <algorithm>

#include "config/assert.h"

namespace loyal::kvstore {

namespace {

using consensus::BlockRef;
using consensus::Height;

template <class Map, class Key>
std::optional<LogSequence> value_at(const Map& map, const Key& key) {
    const auto found = map.find(key);
    return found == map.end() ? std::nullopt : std::optional<LogSequence>(found->second);
}

tl::unexpected<Error> second_commit(Height height) {
    return fail(Errc::conflict, "two blocks are committed at height " + std::to_string(height.value));
}

}  // namespace

// ------------------------------------------------------------------------------------------------ the committed chain

crypto::Digest* LogIndex::slot(Height height) {
    return base_ && height > base_->height && height <= committed_.height
               ? &chain_[height.value - base_->height.value - 1]
               : nullptr;
}

crypto::Digest LogIndex::committed_id(Height height) const {
    if (!base_ || height < base_->height || height > committed_.height) {
        return {};
    }
    return height == base_->height ? base_->id : chain_[height.value - base_->height.value - 1];
}

// Names the blocks of one chain, from `at` down, as far as their parents are known and were not named before.
Result<void> LogIndex::fill(BlockRef at) {
    while (crypto::Digest* named = slot(at.height)) {
        if (!named->is_zero()) {
            return *named == at.id ? Result<void>() : second_commit(at.height);
        }
        *named = at.id;
        const BlockEntry* entry = block(at.id);
        if (entry == nullptr) {
            return {};
        }
        if (entry->height != at.height) {
            return fail(Errc::conflict,
                        "block " + at.id.short_hex() + " is not of height " + std::to_string(at.height.value));
        }
        at = {at.height.minus(1), entry->parent};
    }
    if (base_ && at.height == base_->height && !base_->id.is_zero() && at.id != base_->id) {
        return fail(Errc::conflict, "the chain committed above height " + std::to_string(at.height.value) +
                                        " does not extend the one committed up to there");
    }
    return {};
}

void LogIndex::extend(const BlockRef& block) {
    chain_.resize(block.height.value - base_->height.value);
    committed_ = block;
}

void LogIndex::advance() {
    while (whole_.height < committed_.height) {
        const crypto::Digest& id = chain_[whole_.height.value - base_->height.value];
        if (id.is_zero() || block(id) == nullptr) {
            return;
        }
        whole_ = {whole_.height.next(), id};
    }
}

Result<void> LogIndex::add_block(const BlockRef& block, const crypto::Digest& parent, LogSequence sequence) {
    blocks_.insert_or_assign(block.id, BlockEntry{sequence, block.height, parent, false});
    const crypto::Digest* named = slot(block.height);
    if (named == nullptr || *named != block.id) {
        return {};
    }
    auto filled = fill({block.height.minus(1), parent});
    advance();
    return filled;
}

Result<void> LogIndex::add_commit(const BlockRef& block, bool certified) {
    any_bare_commit_ = any_bare_commit_ || !certified;
    if (!base_) {
        BlockRef lowest = block;
        while (const BlockEntry* entry = this->block(lowest.id)) {
            lowest = {entry->height.minus(1), entry->parent};
        }
        base_ = whole_ = committed_ = lowest;
    }
    if (block.height <= base_->height) {
        const bool same = block.height < base_->height || base_->id.is_zero() || base_->id == block.id;
        return same ? Result<void>() : second_commit(block.height);
    }
    const BlockRef before = committed_;
    if (block.height > committed_.height) {
        extend(block);
    }
    auto filled = fill(block);
    if (!filled && committed_ != before) {
        chain_.resize(before.height.value - base_->height.value);
        committed_ = before;
    }
    advance();
    return filled;
}

Result<void> LogIndex::add_installed(const BlockRef& block, LogSequence sequence) {
    installed_[block.height] = sequence;
    if (base_ && block.height <= committed_.height) {
        const crypto::Digest id = committed_id(block.height);
        if (!id.is_zero() && id != block.id) {
            return second_commit(block.height);
        }
    }
    raise_base(base_with(block));
    return {};
}

BlockRef LogIndex::base_with(const BlockRef& installed) const {
    const bool reaches_it = base_ && (installed.height <= base_->height || !committed_id(installed.height).is_zero());
    return reaches_it ? *base_ : installed;
}

void LogIndex::raise_base(const BlockRef& base) {
    if (base_ && base.height <= base_->height) {
        return;
    }
    if (!base_ || base.height > committed_.height) {
        chain_.clear();
        committed_ = base;
    } else {
        const auto gone = static_cast<std::ptrdiff_t>(base.height.value - base_->height.value);
        chain_.erase(chain_.begin(), chain_.begin() + gone);
    }
    base_ = base;
    whole_ = whole_.height < base.height ? base : whole_;
    advance();
}

// ------------------------------------------------------------------------------------------------ the rest

void LogIndex::add_lock(consensus::View view, Height target, LogSequence sequence) {
    locks_[{static_cast<std::int64_t>(view.value), target.value}] = sequence;
    any_certificate_ = true;
}

void LogIndex::add_certificate(Height target, LogSequence sequence) {
    certificates_[target] = sequence;
    any_certificate_ = true;
}

void LogIndex::forget_below(const consensus::VotingState& voting) {
    locks_.erase(locks_.begin(), locks_.lower_bound(voting.lock.rank()));
    new_views_.erase(new_views_.begin(), new_views_.lower_bound(voting.entered));
    view_changes_.erase(view_changes_.begin(), view_changes_.lower_bound(voting.promised));
}

void LogIndex::forget_record(LogSequence sequence, const crypto::Digest& block) {
    const auto found = blocks_.find(block);
    if (found != blocks_.end() && found->second.sequence == sequence) {
        blocks_.erase(found);
    }
}

void LogIndex::forget_commit(LogSequence sequence, Height height) {
    if (value_at(certificates_, height) == sequence) {
        certificates_.erase(height);
    }
    if (value_at(installed_, height) == sequence) {
        installed_.erase(height);
    }
}

void LogIndex::mark_damaged(const crypto::Digest& id, bool header_too) {
    const auto found = blocks_.find(id);
    if (found == blocks_.end()) {
        return;
    }
    found->second.damaged = true;
    if (!header_too) {
        return;
    }
    const Height height = found->second.height;
    blocks_.erase(found);
    // What is at the base is not needed for the chain above it.
    if (base_ && height > base_->height && committed_id(height) == id && whole_.height >= height) {
        const Height below = height.minus(1);
        whole_ = {below, committed_id(below)};
    }
}

void LogIndex::forget_records(LogSequence first, LogSequence last) {
    const auto gone = [&](const auto& entry) { return entry.second >= first && entry.second <= last; };
    std::erase_if(certificates_, gone);
    std::erase_if(locks_, gone);
    std::erase_if(new_views_, gone);
    std::erase_if(view_changes_, gone);
    std::erase_if(evidence_, gone);
    std::erase_if(installed_, gone);
    std::vector<crypto::Digest> blocks;
    for (const auto& [id, entry] : blocks_) {
        if (entry.sequence >= first && entry.sequence <= last) {
            blocks.push_back(id);
        }
    }
    for (const crypto::Digest& id : blocks) {
        mark_damaged(id, true);
    }
}

std::optional<BlockRef> LogIndex::block_in(LogSequence sequence) const {
    const auto found = std::find_if(blocks_.begin(), blocks_.end(),
                                    [&](const auto& entry) { return entry.second.sequence == sequence; });
    return found == blocks_.end() ? std::nullopt : std::optional(BlockRef{found->second.height, found->first});
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

std::optional<LogSequence> LogIndex::installed(Height height) const {
    return value_at(installed_, height);
}

IndexChange change_of(const consensus::ClusterContext& context, const consensus::LogRecord& record,
                      LogSequence sequence) {
    struct Make {
        const consensus::ClusterContext& context;
        LogSequence sequence;
        IndexChange operator()(const consensus::VotingState&) const { return {}; }
        IndexChange operator()(const consensus::BlockRecord& record) const {
            return [ref = record.block->ref(), parent = record.block->header.parent, at = sequence](LogIndex& index) {
                return index.add_block(ref, parent, at);
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
        IndexChange operator()(const consensus::InstalledRecord& record) const {
            return [ref = BlockRef{record.block.height, consensus::header_id(context, record.block)},
                    at = sequence](LogIndex& index) { return index.add_installed(ref, at); };
        }
        IndexChange operator()(const consensus::CommitRecord& record) const {
            std::optional<Height> certified;
            if (record.certificate) {
                certified = record.certificate->target.height;
            }
            return [block = record.block, certified, at = sequence](LogIndex& index) {
                if (certified) {
                    index.add_certificate(*certified, at);
                }
                return index.add_commit(block, certified.has_value());
            };
        }
    };
    return std::visit(Make{context, sequence}, record);
}

}  // namespace loyal::kvstore
