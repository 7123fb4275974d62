#include "kvstore/log_inspection.h"

#include "kvstore/durable_log.h"

namespace loyal::kvstore {

namespace {

constexpr std::uint64_t progress_every = 1U << 12U;
constexpr std::size_t damage_max = 512;

// Bodies, which a start leaves alone; a record whose head does not open was named by it.
void inspect_block(const consensus::ClusterContext& context, const RawEntry& entry, LogInspection& found) {
    if (!open_block_head(context, entry.value)) {
        return;
    }
    const auto sequence = decode_sequence_key(entry.key);
    auto block = open_block(context, entry.key, entry.value);
    if (sequence && !block && found.damage.size() < damage_max) {
        found.damage.push_back(damage_of(*sequence, block.error()).message);
    }
}

Result<void> inspect_records(Store& log, const consensus::ClusterContext& context,
                             const std::function<void(std::uint64_t)>& progress, LogInspection& found) {
    auto txn = log.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    auto entry = (*txn)->seek(records_table, {});
    while (entry && *entry) {
        const auto kind = kind_of((*entry)->value);
        if (kind) {
            ++found.of_kind.at(static_cast<std::size_t>(*kind));
        }
        if (kind && *kind == RecordKind::block) {
            inspect_block(context, **entry, found);
        }
        if (++found.records % progress_every == 0 && progress) {
            progress(found.records);
        }
        entry = (*txn)->seek(records_table, (*entry)->key, true);
    }
    if (!entry && entry.error().code != Errc::corrupted) {
        return tl::unexpected(entry.error());
    }
    return {};
}

}  // namespace

Result<LogInspection> inspect_log(Store& log, const consensus::ClusterContext& context,
                                  std::uint64_t checkpoint_interval,
                                  const std::function<void(std::uint64_t)>& progress) {
    DurableLog reader(log, context, {false, checkpoint_interval, {}}, DurableLog::Writes::never);
    if (auto loaded = reader.load(); !loaded) {
        return tl::unexpected(loaded.error());
    }
    const auto evidence = reader.evidence();
    auto recovered = reader.votes();
    LogInspection found;
    found.fresh = recovered.fresh;
    found.voting = recovered.voting;
    found.votes_lost = std::move(recovered.votes_lost);
    found.first_height = reader.first_height();
    found.committed = reader.committed();
    found.checkpoint = reader.newest_checkpoint();
    found.evidence = evidence ? evidence->size() : 0;
    found.damage = reader.damage();
    for (const consensus::BlockRef& missing : reader.damaged_blocks()) {
        found.damage.push_back("the committed block at height " + std::to_string(missing.height.value) +
                               " is damaged or missing");
    }
    return inspect_records(log, context, progress, found).map([&] { return std::move(found); });
}

}  // namespace loyal::kvstore
