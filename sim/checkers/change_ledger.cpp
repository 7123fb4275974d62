#include "sim/checkers/change_ledger.h"

#include <fmt/format.h>

namespace loyal::sim {
namespace {

using kvstore::Change;
using kvstore::KeyRecord;
using kvstore::Revision;

bool is_item(const KeyRecord& record, const kvstore::Item& item) {
    return record.value == item.value && record.version == item.version && record.created == item.created &&
           record.id.revision == item.revision && record.timestamp == item.timestamp && record.lease == item.lease;
}

std::optional<kvstore::Item> item_at(const ReferenceModel& model, const Bytes& key, Revision revision) {
    kvstore::Range range;
    range.begin = key;
    auto found = model.read(range, revision).items;
    return found.empty() ? std::nullopt : std::optional(std::move(found.front()));
}

}  // namespace

Finding ChangeLedger::compare(const Change& change, const ReferenceModel& model) {
    const Revision at = change.now.id.revision;
    const auto now = item_at(model, change.key, at);
    if (now ? change.now.version == 0 || !is_item(change.now, *now) : change.now.version != 0) {
        return fmt::format("CHANGES: revision {} is not what the model did", at.value);
    }
    const auto before = item_at(model, change.key, at.minus(1));
    const bool same =
        before ? change.previous_dropped || (change.previous && is_item(*change.previous, *before)) : !change.previous;
    if (!same) {
        return fmt::format("CHANGES: revision {} replaced something else than the model says", at.value);
    }
    return {};
}

Finding ChangeLedger::committed(const kvstore::ExecutedBlock& block, const ReferenceModel& model) {
    if (!block.changes) {
        return "CHANGES: a block without a list of them";
    }
    for (const Change& change : *block.changes) {
        const Revision at = change.now.id.revision;
        const bool begins = at == revision_.next() && change.now.id.part == 0;
        const bool goes_on =
            at == revision_ && !changes_.empty() && change.now.id.part == changes_.back().now.id.part + 1;
        if (!begins && !goes_on) {
            return fmt::format("CHANGES: revision {} part {} follows revision {}", at.value, change.now.id.part,
                               revision_.value);
        }
        revision_ = at;
        if (auto finding = compare(change, model)) {
            return finding;
        }
        changes_.push_back(change);
    }
    if (revision_ != block.revision) {
        return fmt::format("CHANGES: the block ends at revision {}, its changes at {}", block.revision.value,
                           revision_.value);
    }
    return {};
}

}  // namespace loyal::sim
