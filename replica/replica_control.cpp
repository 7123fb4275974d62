// What an operator tells a running replica (replica/control.h): questions, and the faults of experiments.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "crypto/identity.h"
#include "kvstore/state_machine.h"
#include "replica/experiments/bit_rot.h"
#include "replica/experiments/lasting_fault.h"
#include "replica/experiments/process_faults.h"
#include "replica/fatal_of.h"
#include "replica/replica_state.h"

namespace loyal::replica {
namespace {

using std::chrono::milliseconds;

// So that the answer to the order leaves first.
constexpr milliseconds answer_leaves_after{50};
// Shorter, and nobody could take the fault back.
constexpr std::uint64_t crash_every_ms_min = 200;

tl::unexpected<Error> refuse_order(std::string message) {
    return fail(Errc::invalid_argument, std::move(message));
}

std::vector<std::string_view> between_commas(std::string_view text) {
    std::vector<std::string_view> words;
    while (true) {
        const std::size_t comma = std::min(text.find(','), text.size());
        words.push_back(text.substr(0, comma));
        if (comma == text.size()) {
            return words;
        }
        text.remove_prefix(comma + 1);
    }
}

}  // namespace

// ---- Behaviours

// Traitors who share their keys lie in one folder; a machine that holds one key only cannot collude.
Result<void> Replica::State::add_accomplices(const FaultSpec& spec, FaultContext& context) const {
    for (const BehaviourSpec& behaviour : spec.behaviours) {
        if (behaviour.name != "collude") {
            continue;
        }
        for (const std::string_view word : between_commas(behaviour.argument)) {
            const auto id = static_cast<std::size_t>(std::strtoul(std::string(word).c_str(), nullptr, 10));
            if (id >= options.cluster.replicas.size() || id == options.id) {
                continue;  // the behaviour itself says what is wrong with it
            }
            const std::filesystem::path path = options.cluster.replica_key_path(static_cast<std::uint16_t>(id));
            Result<crypto::KeyFile> key = crypto::read_key_file(path);
            if (!key) {
                return refuse_order("collude needs the key of replica " + std::to_string(id) + ": " +
                                    key.error().message);
            }
            if (key->identity.public_key() != options.cluster.replicas[id].public_key) {
                return refuse_order("collude: " + path.string() + " is not the key of replica " + std::to_string(id));
            }
            context.accomplices[consensus::ReplicaId(static_cast<std::uint16_t>(id))] =
                std::make_shared<crypto::Identity>(std::move(key->identity));
        }
    }
    return {};
}

Result<std::unique_ptr<FaultModel>> Replica::State::make_model(const FaultSpec& spec) const {
    FaultContext context{membership,
                         self,
                         identity,
                         options.id,
                         {},
                         options.cluster.timers.progress_min_ms,
                         options.cluster.timers.heartbeat_ms,
                         {}};
    for (const config::ClientEntry& client : options.cluster.clients) {
        context.client_names[client.name] = config::client_id_of(client.public_key);
    }
    return add_accomplices(spec, context).and_then([&] { return make_fault(spec, context); });
}

// Before the node is built: a traitor who forgets does so before the core sees what the log holds.
Result<std::unique_ptr<FaultModel>> Replica::State::first_model() {
    return parse_fault(options.fault)
        .and_then([this](const FaultSpec& spec) { return make_model(spec); })
        .map([this](std::unique_ptr<FaultModel> model) {
            if (model) {
                model->recovered(data.recovered);
            }
            return model;
        });
}

Result<void> Replica::State::begin_first_fault() {
    if (!first_fault) {
        return tl::unexpected(first_fault.error());
    }
    const auto spec = parse_fault(options.fault);
    if (!spec || spec->kind == FaultSpec::Kind::none) {
        return {};
    }
    if (!experiments) {
        return fail(Errc::permission, "this cluster was not initialised with --experiments");
    }
    if (auto allowed = check_process_fault(*spec); !allowed) {
        return allowed;
    }
    put_in_force(*spec, std::move(*first_fault));
    return {};
}

Result<void> Replica::State::check_process_fault(const FaultSpec& spec) const {
    if (spec.kind != FaultSpec::Kind::crash_recovery) {
        return {};
    }
    if (options.cluster.fault_model == consensus::FaultModel::crash &&
        options.cluster.crash_mode == config::CrashMode::stop) {
        return refuse_order(
            "crash-recovery is impossible here: under crash_mode = \"stop\" a replica that crashed may not return; use "
            "crash-stop, or a cluster with --crash-mode recovery");
    }
    if (spec.every_ms < crash_every_ms_min) {
        return refuse_order("crash-recovery --every " + std::to_string(spec.every_ms) +
                            "ms: a replica must be up for " + std::to_string(crash_every_ms_min) +
                            "ms at least, or nobody could reach it to end this");
    }
    if (options.arguments.empty()) {
        return refuse_order("crash-recovery: this process does not know how it was started");
    }
    return {};
}

Result<void> Replica::State::set_fault(const FaultSpec& spec) {
    if (auto allowed = check_process_fault(spec); !allowed) {
        return allowed;
    }
    auto model = make_model(spec);
    if (!model) {
        return tl::unexpected(std::move(model.error()));
    }
    if (auto kept = keep_fault(data.path, spec); !kept) {
        return kept;
    }
    put_in_force(spec, std::move(*model));
    return {};
}

void Replica::State::put_in_force(const FaultSpec& spec, std::unique_ptr<FaultModel> model) {
    node.set_fault(std::move(model));
    experiments->crash_timer.cancel();
    const bool crashes = spec.kind == FaultSpec::Kind::crash_stop || spec.kind == FaultSpec::Kind::crash_recovery;
    experiments->process = crashes ? spec : FaultSpec{};
    spdlog::warn("event=fault_set fault=\"{}\"", to_string(spec));
    if (!crashes) {
        return;
    }
    const std::uint64_t after_ms = spec.kind == FaultSpec::Kind::crash_stop ? spec.after_ms : spec.every_ms;
    experiments->crash_timer.expires_after(std::max(milliseconds(after_ms), answer_leaves_after));
    experiments->crash_timer.async_wait([this](const boost::system::error_code& error) {
        if (!error && !stopping) {
            crash();
        }
    });
}

void Replica::State::crash() {
    const FaultSpec& spec = experiments->process;
    spdlog::warn("event=crash fault=\"{}\"", to_string(spec));
    if (spec.kind == FaultSpec::Kind::crash_stop) {
        crash_now();
    }
    crash_and_return(arguments_after_crash(options.arguments, to_string(spec), spec.down_ms));
}

std::string Replica::State::faults_in_force() const {
    std::string text;
    const auto add = [&text](const std::string& fault) {
        if (!fault.empty()) {
            text += (text.empty() ? "" : "; ") + fault;
        }
    };
    if (const std::string behaviour = node.fault(); behaviour != "none") {
        add(behaviour);
    }
    if (experiments) {
        if (experiments->process.kind != FaultSpec::Kind::none) {
            add(to_string(experiments->process));
        }
        add(experiments->links.in_force());
        add(clock.in_force());
        add(experiments->disk->in_force());
        if (experiments->rotten_bits > 0) {
            add("disk rot=" + std::to_string(experiments->rotten_bits));
        }
    }
    return text.empty() ? "none" : text;
}

// ---- Orders

Result<std::string> Replica::State::obey(const FaultSpec& spec) {
    return set_fault(spec).map([&] { return to_string(spec); });
}

Result<std::string> Replica::State::obey(const NetShow&) {
    return experiments->links.json();
}

Result<std::string> Replica::State::obey(const NetHeal&) {
    experiments->links.heal();
    spdlog::warn("event=net_healed");
    return std::string("healed");
}

Result<std::string> Replica::State::obey(const NetSet& order) {
    if (std::find(order.peers.begin(), order.peers.end(), options.id) != order.peers.end()) {
        return refuse_order("replica " + std::to_string(options.id) + " has no link to itself");
    }
    experiments->links.set(order);
    const std::string now = experiments->links.in_force();
    spdlog::warn("event=net_set net=\"{}\"", now);
    return now.empty() ? std::string("no fault") : now;
}

Result<std::string> Replica::State::obey(const ClockFault& fault) {
    clock.set(fault);
    const std::string now = clock.in_force();
    spdlog::warn("event=clock_set clock=\"{}\"", now);
    return now.empty() ? std::string("right") : now;
}

Result<std::string> Replica::State::obey(const Pause& pause) {
    experiments->pause_timer.expires_after(answer_leaves_after);
    experiments->pause_timer.async_wait([this, pause](const boost::system::error_code& error) {
        if (error || stopping) {
            return;
        }
        spdlog::warn("event=pause ms={}", pause.ms);
        if (const auto paused = pause_process(pause.ms); !paused) {
            spdlog::error("event=pause_failed why=\"{}\"", paused.error().message);
        }
    });
    return "paused for " + std::to_string(pause.ms) + "ms";
}

Result<std::string> Replica::State::obey(const DiskFault& fault) {
    if (fault.kind == DiskFault::Kind::rot) {
        return rot(fault.value);
    }
    experiments->disk->set(fault);
    if (fault.kind == DiskFault::Kind::mend) {
        experiments->rotten_bits = 0;  // no longer reported; what rotted stays so
    }
    on_disk(disk_use_measured);
    const std::string now = experiments->disk->in_force();
    spdlog::warn("event=disk_set disk=\"{}\"", now);
    return now.empty() ? std::string("mended") : now;
}

// Half of the bits in the log, half in the state.
Result<std::string> Replica::State::rot(std::uint64_t bits) {
    // Other bits each time, and the same ones in a repetition of the experiment.
    const std::uint64_t seed = (std::uint64_t{options.id} << 32U) + experiments->rotten_bits;
    if (!data.state.store) {
        return fail(Errc::unavailable, "the state of this replica is being recovered; ask again later");
    }
    const auto in_state =
        rot_bits(*data.state.store, kvstore::StateMachine::state_tables().size(), bits - bits / 2, seed);
    const auto in_log = in_state.and_then([&](std::uint64_t) {
        return rot_bits(*data.log_store, kvstore::ConsensusLog::log_tables().size(), bits / 2, seed + 1);
    });
    if (!in_log) {
        return tl::unexpected(in_log.error());
    }
    experiments->rotten_bits += *in_state + *in_log;
    spdlog::warn("event=disk_rot state_bits={} log_bits={} seed={}", *in_state, *in_log, seed);
    return "flipped " + std::to_string(*in_state) + " bits of the state and " + std::to_string(*in_log) + " of the log";
}

Result<std::string> Replica::State::obey(const TraceSince& since) {
    return experiments->trace.json(since.us);
}

Result<std::string> Replica::State::obey(const EvidenceList&) {
    return evidence_json();
}

// Experiments: allowed by the cluster file; a disabled switch answers with an error, never with success.
void Replica::State::answer_control(LinkId link, const consensus::ClientId& client, const wire::Control& request) {
    const auto refuse_with = [&](wire::RefusalCode code, std::string why) {
        answer_operator(link, wire::Refusal{self, code, true, {}, request.nonce, std::move(why)});
    };
    if (!clients.is_operator(client)) {
        refuse_with(wire::RefusalCode::not_allowed, "only a client with the admin right may give orders to a replica");
        return;
    }
    const Result<ControlCommand> command = parse_control(request.command, options.cluster.replicas.size());
    if (!command) {
        refuse_with(wire::RefusalCode::invalid, command.error().message);
        return;
    }
    if (!experiments && is_experiment(*command)) {
        refuse_with(wire::RefusalCode::not_allowed, "this cluster was not initialised with --experiments");
        return;
    }
    const Result<std::string> done = std::visit([this](const auto& order) { return obey(order); }, *command);
    if (!done) {
        const bool bad = done.error().code == Errc::invalid_argument;
        refuse_with(bad ? wire::RefusalCode::invalid : wire::RefusalCode::busy, done.error().message);
        return;
    }
    answer_operator(link, wire::ControlReply{request.nonce, *done});
}

}  // namespace loyal::replica
