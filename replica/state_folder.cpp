#include "replica/state_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

#include "config/files.h"
#include "kvstore/lmdb_store.h"

namespace loyal::replica {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view folder_prefix = "state.";
constexpr const char* lost_mark_name = "state.lost";
constexpr std::size_t lost_mark_bytes_max = 1024;
// A generation of the overlay is written when it is so large, as the executor does.
constexpr std::size_t replay_freeze_bytes = std::size_t{8} << 20;

std::optional<std::uint64_t> number_in(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool whole = error == std::errc() && end == text.data() + text.size() && number >= first_generation;
    return whole ? std::optional(number) : std::nullopt;
}

std::vector<std::uint64_t> generations_in(const fs::path& data) {
    std::vector<std::uint64_t> found;
    std::error_code error;
    for (fs::directory_iterator at(data, error), end; !error && at != end; at.increment(error)) {
        const std::string name = at->path().filename().string();
        if (name.starts_with(folder_prefix)) {
            if (const auto number = number_in(std::string_view(name).substr(folder_prefix.size()))) {
                found.push_back(*number);
            }
        }
    }
    return found;
}

Result<void> write_frozen(kvstore::StateMachine& machine, kvstore::Durability durability) {
    if (!machine.freeze()) {
        return {};
    }
    return machine.write_frozen(durability).map([&] { machine.drop_frozen(); });
}

}  // namespace

StateSetup state_setup(const config::Cluster& cluster, const fs::path& data, std::shared_ptr<DiskFaults> faults) {
    StateSetup setup;
    setup.data = data;
    for (const config::ClientEntry& client : cluster.clients) {
        setup.machine.clients[config::client_id_of(client.public_key)] =
            kvstore::client_with(client.name, client.public_key, client.rights);
    }
    setup.machine.checkpoint_interval = cluster.checkpoint_interval;
    setup.machine.history_revisions = cluster.history_revisions;
    setup.machine.salt = kvstore::salt_of(cluster.salt_id());
    setup.genesis_state = cluster.genesis_state;
    setup.checkpoints.interval = cluster.checkpoint_interval;
    setup.checkpoints.salt = setup.machine.salt;
    setup.faults = std::move(faults);
    return setup;
}

fs::path generation_path(const fs::path& data, std::uint64_t generation) {
    return data / (std::string(folder_prefix) + std::to_string(generation));
}

Result<std::optional<std::uint64_t>> generation_in_force(const fs::path& data) {
    std::array<std::uint8_t, 32> buffer{};
    const auto size = read_file(data / "state", buffer, Secrecy::open_to_all);
    if (!size && size.error().code == Errc::not_found) {
        return std::optional<std::uint64_t>();
    }
    if (!size) {
        return tl::unexpected(size.error());
    }
    const std::string_view text = text_of(ByteView(buffer).first(*size));
    const auto number = text.ends_with('\n') ? number_in(text.substr(0, text.size() - 1)) : std::nullopt;
    if (!number) {
        return fail(Errc::corrupted, (data / "state").string() + " does not name a generation of the state");
    }
    return number;
}

std::optional<std::uint64_t> newest_generation(const fs::path& data) {
    const std::vector<std::uint64_t> found = generations_in(data);
    const auto newest = std::max_element(found.begin(), found.end());
    return newest == found.end() ? std::nullopt : std::optional(*newest);
}

namespace {

// Whole and durable, or as before.
Result<void> replace_file(const fs::path& path, const std::string& text) {
    fs::path fresh = path;
    fresh += ".new";
    {
        const FileHandle file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        if (!file.valid() || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
            ::fsync(file.get()) != 0) {
            return fail_errno("cannot write", fresh, errno);
        }
    }
    if (::rename(fresh.c_str(), path.c_str()) != 0) {
        return fail_errno("cannot replace", path, errno);
    }
    return sync_folder(path.parent_path());
}

}  // namespace

Result<void> put_in_force(const fs::path& data, std::uint64_t generation) {
    return replace_file(data / "state", std::to_string(generation) + "\n");
}

Result<void> mark_lost(const fs::path& data, std::uint64_t generation, const std::string& why) {
    return replace_file(data / lost_mark_name,
                        std::to_string(generation) + " " + why.substr(0, lost_mark_bytes_max / 2) + "\n");
}

// A mark that cannot be made sense of counts: it is there only while a state is lost, or for a moment longer.
Result<std::optional<std::string>> lost_mark(const fs::path& data, std::uint64_t in_force) {
    std::array<std::uint8_t, lost_mark_bytes_max> buffer{};
    const auto size = read_file(data / lost_mark_name, buffer, Secrecy::open_to_all);
    if (!size && size.error().code == Errc::not_found) {
        return std::optional<std::string>();
    }
    if (!size) {
        return tl::unexpected(size.error());
    }
    const std::string text(text_of(ByteView(buffer).first(*size)));
    const auto space = text.find(' ');
    const auto generation = number_in(std::string_view(text).substr(0, space));
    if (generation && *generation < in_force) {
        return std::optional<std::string>();
    }
    const std::string why = space == std::string::npos ? std::string() : text.substr(space + 1);
    return std::optional(why.empty() ? "it was found to be wrong" : why.substr(0, why.find('\n')));
}

void forget_lost_mark(const fs::path& data) {
    std::error_code ignored;
    fs::remove(data / lost_mark_name, ignored);
}

void remove_other_generations(const fs::path& data, std::uint64_t in_force) {
    for (const std::uint64_t generation : generations_in(data)) {
        if (generation != in_force && generation != in_force + 1) {
            (void)remove_generation(data, generation);  // tried again at the next start
        }
    }
}

Result<void> remove_generation(const fs::path& data, std::uint64_t generation) {
    std::error_code error;
    fs::remove_all(generation_path(data, generation), error);
    if (error) {
        return fail(Errc::io, "cannot remove " + generation_path(data, generation).string() + ": " + error.message());
    }
    return {};
}

Result<std::unique_ptr<kvstore::Store>> open_generation(const StateSetup& setup, std::uint64_t generation) {
    kvstore::LmdbOptions options;
    options.path = generation_path(setup.data, generation);
    options.tables = kvstore::StateMachine::state_tables();
    options.lazy = true;
    auto store = kvstore::LmdbStore::open(options);
    if (!store) {
        return tl::unexpected(store.error());
    }
    if (setup.faults) {
        return std::unique_ptr<kvstore::Store>(std::make_unique<FaultyStore>(std::move(*store), setup.faults, false));
    }
    return std::unique_ptr<kvstore::Store>(std::move(*store));
}

Result<void> open_machine(const StateSetup& setup, OpenState& state) {
    auto machine = kvstore::StateMachine::open(*state.store, setup.machine);
    if (!machine) {
        return tl::unexpected(machine.error());
    }
    auto checkpoints = kvstore::Checkpoints::open(*state.store, setup.checkpoints);
    if (!checkpoints) {
        return tl::unexpected(checkpoints.error());
    }
    // While the state at height 0 is still kept.
    const auto genesis = (*checkpoints)->subtree(consensus::Height(0), 0);
    if (genesis && kvstore::node_digest(*genesis) != setup.genesis_state) {
        return fail(Errc::corrupted, "it begins with another state than genesis_state in cluster.toml says");
    }
    state.machine = std::move(*machine);
    state.checkpoints = std::move(*checkpoints);
    return {};
}

Result<std::uint64_t> execute_again(kvstore::StateMachine& machine, const kvstore::ConsensusLog& log,
                                    std::uint64_t blocks_max) {
    std::uint64_t blocks = 0;
    for (; blocks < blocks_max; ++blocks) {
        const auto block = log.committed_block(machine.executed().next());
        if (!block || !*block) {
            break;  // from here on the peers have it: damage of the log is not damage of the state
        }
        const auto executed = machine.execute(***block);
        if (!executed) {
            return tl::unexpected(executed.error());
        }
        if (machine.freeze_due() || machine.overlay_bytes() >= replay_freeze_bytes) {
            const auto durability = machine.freeze_due() ? kvstore::Durability::synced : kvstore::Durability::lazy;
            if (auto written = write_frozen(machine, durability); !written) {
                return tl::unexpected(written.error());
            }
        }
    }
    return write_frozen(machine, kvstore::Durability::lazy).map([blocks] { return blocks; });
}

Result<consensus::Recovered> recover_without_state(const kvstore::ConsensusLog& log) {
    // As if all that is committed were executed, so that no more of the log is read than a core needs.
    consensus::BlockRef head;
    if (const auto block = log.committed_block(log.committed()); block && *block) {
        head = (**block)->ref();
    }
    auto recovered = log.recover(head);
    if (!recovered) {
        return recovered;
    }
    auto proof = log.checkpoint_proof(log.newest_checkpoint());
    if (proof && *proof) {
        recovered->stable = std::move(**proof);
    }
    return recovered;
}

Result<consensus::Recovered> recover_with(const OpenState& state, const kvstore::ConsensusLog& log) {
    auto recovered = log.recover(state.machine->executed_block());
    if (!recovered) {
        return recovered;
    }
    recovered->executed_digests = state.machine->recent_digests();
    recovered->due = state.machine->due();
    recovered->roots = state.checkpoints->roots();
    auto proof = log.checkpoint_proof(log.newest_checkpoint());
    if (proof && *proof) {
        recovered->stable = std::move(**proof);
    }
    // The state came as such, and nothing was executed since: the log has no block of this height.
    const consensus::BlockRef executed = state.machine->executed_block();
    if (recovered->stable && recovered->stable->block.height == executed.height) {
        const auto block = log.block(executed.id);
        if (block && !*block) {
            recovered->installed = recovered->stable->block;
        }
    }
    return recovered;
}

}  // namespace loyal::replica
