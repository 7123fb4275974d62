#include "replica/state_transfer/keeper.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <utility>

#include "config/limits.h"
#include "replica/fatal_of.h"
#include "replica/state_transfer/old_state.h"
#include "replica/state_transfer/serve_state.h"

namespace loyal::replica {
namespace {

using std::chrono::milliseconds;

// Bounds of one step.
constexpr std::size_t records_per_step = 512;
constexpr std::uint64_t blocks_per_step = 64;
constexpr milliseconds transfer_step{20};
// How often somebody looks.
constexpr milliseconds transfer_every{5};
constexpr milliseconds look_every{10};
constexpr std::chrono::seconds try_again_after{2};

std::uint64_t milliseconds_of(StateKeeper::Clock::time_point at) {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(at.time_since_epoch()).count());
}

}  // namespace

StateKeeper::StateKeeper(KeeperOptions options, const kvstore::ConsensusLog& log, std::function<void(KeeperEvent)> tell)
    : options_(std::move(options)), log_(log), tell_(std::move(tell)) {}

StateKeeper::~StateKeeper() = default;

// ---- Told by the loop

void StateKeeper::keep(std::uint64_t generation, std::unique_ptr<kvstore::Checkpoints> checkpoints) {
    generation_ = generation;
    checkpoints_ = std::move(checkpoints);
    lost_ = diverged_ = damage_told_ = false;
    target_.reset();
    newer_.reset();
    phase_ = Phase::none;
    if (checkpoints_) {
        const auto roots = checkpoints_->roots();  // the core got these when it began
        told_ = roots.empty() ? consensus::Height(0) : roots.back().height;
    }
    const std::lock_guard lock(mutex_);
    status_.checkpoint = told_;
    status_.transferring = false;
    status_.phase.clear();
}

void StateKeeper::lost(bool diverged) {
    lost_ = true;
    diverged_ = diverged_ || diverged;
}

void StateKeeper::stable(consensus::Height height) {
    if (checkpoints_ && !lost_) {
        checkpoints_->release_below(height);
    }
}

void StateKeeper::serve(consensus::ReplicaId to, const consensus::StateRequest& request) {
    tell_(AnswerPeer{to, part_of(request)});
}

void StateKeeper::serve_client(std::uint64_t link, std::uint64_t nonce,
                               const std::optional<consensus::StateRequest>& request) {
    if (request) {
        tell_(AnswerClient{link, nonce, part_of(*request)});
    } else {
        tell_(AnswerClient{link, nonce, newest_proof()});
    }
}

// Of those whose state is kept here.
std::optional<consensus::CheckpointProof> StateKeeper::newest_proof() const {
    if (!checkpoints_ || diverged_) {
        return std::nullopt;
    }
    const std::vector<kvstore::StateRoot> roots = checkpoints_->roots();
    for (auto root = roots.rbegin(); root != roots.rend() && root->height.value > 0; ++root) {
        if (auto proof = log_.checkpoint_proof(root->height); proof && *proof) {
            return std::move(*proof);
        }
    }
    return std::nullopt;
}

void StateKeeper::prove(std::uint64_t link, std::uint64_t nonce, ByteView key) {
    tell_(AnswerClient{link, nonce, proof_of(key)});
}

Result<kvstore::StateProof> StateKeeper::proof_of(ByteView key) {
    const auto checkpoint = newest_proof();
    if (!checkpoint) {
        return fail(
            Errc::unavailable,
            "no checkpoint is stable here yet: one is taken every " +
                std::to_string(options_.setup.checkpoints.interval) +
                " blocks, and is stable once as many more are committed (`cluster init --checkpoint-interval`)");
    }
    auto certified = kvstore::certified_root(*checkpoint, options_.quorum.q);
    if (!certified && checkpoint->commit) {
        return fail(Errc::unavailable, "this replica's certificate of the newest checkpoint is too long; ask another");
    }
    const kvstore::StateRoot root = checkpoint->root();
    auto proof = kvstore::make_state_proof(*checkpoints_, root.height, options_.setup.checkpoints.salt,
                                           kvstore::StateTable::keys, key);
    if (!proof) {
        if (proof.error().code == Errc::corrupted) {
            damaged(proof.error().message);
        }
        return fail(Errc::unavailable, "this replica cannot read its checkpoint now; ask another");
    }
    if (certified) {
        proof->certified = std::move(certified);
    } else {
        proof->vouched = kvstore::SignedRoot{root, options_.self, {}};
    }
    return proof;
}

consensus::StateChunk StateKeeper::part_of(const consensus::StateRequest& request) {
    if (!checkpoints_ || diverged_) {
        return no_such_checkpoint(request);
    }
    ServedPart served = serve_state_part(*checkpoints_, request);
    if (served.error && served.error->code == Errc::corrupted) {
        damaged(served.error->message);
    }
    const std::lock_guard lock(mutex_);
    ++status_.parts_served;
    return std::move(served.chunk);
}

void StateKeeper::chunk(consensus::ReplicaId from, const consensus::StateChunk& chunk) {
    if (fetch_) {
        fetch_->tick(milliseconds_of(Clock::now()));
        fetch_->on_chunk(from, chunk);
    }
}

void StateKeeper::damaged(const std::string& why) {
    if (std::exchange(damage_told_, true) || lost_) {
        return;
    }
    spdlog::error("event=state_damaged why=\"{}\"", why);
    {
        const std::lock_guard lock(mutex_);
        ++status_.damaged;
    }
    tell_(StateDamaged{why});
}

// ---- Transfer

kvstore::StateRoot StateKeeper::root_of(const consensus::FetchState& target) const {
    return target.checkpoint.height.value == 0 ? kvstore::StateRoot{consensus::Height(0), options_.genesis_state}
                                               : target.checkpoint;
}

void StateKeeper::fetch(const consensus::FetchState& target) {
    lost_ = true;
    const bool same = target_ && target_->checkpoint == target.checkpoint;
    switch (phase_) {
        case Phase::none:
            target_ = target;
            begin_fetching();
            break;
        case Phase::fetching:
            if (same) {
                target_ = target;  // perhaps with another header
            } else {
                newer_ = target;
                fetch_->want(root_of(target));
            }
            break;
        case Phase::waiting:
            target_ = target;
            if (!same) {
                begin_fetching();
            } else if (next_.machine) {
                phase_ = Phase::opening;  // another header for the same state
            }
            break;
        // It will be asked for again by the core that comes with the state that is whole.
        case Phase::opening:
        case Phase::executing:
        case Phase::handed_over: break;
    }
    note_progress();
}

// The fetcher decides when a newer state takes the place of the one that was begun.
void StateKeeper::follow_target() {
    if (newer_ && fetch_->target() == root_of(*newer_)) {
        target_ = std::exchange(newer_, std::nullopt);
        stale_told_ = false;
        spdlog::info("event=transfer_retarget checkpoint={}", target_->checkpoint.height.value);
    }
}

void StateKeeper::begin_again_later(const std::string& why) {
    spdlog::warn("event=transfer_waits why=\"{}\"", why);
    fetch_.reset();
    builder_.reset();
    next_ = OpenState{};
    phase_ = Phase::waiting;
    again_at_ = Clock::now() + try_again_after;
}

void StateKeeper::begin_fetching() {
    const std::uint64_t generation = generation_ + 1;
    if (newer_) {
        target_ = std::exchange(newer_, std::nullopt);
    }
    fetch_.reset();
    builder_.reset();
    next_ = OpenState{};
    next_.generation = generation;
    const kvstore::StateRoot wanted = root_of(*target_);
    spdlog::info("event=transfer_begin checkpoint={} generation={}", wanted.height.value, generation);
    const bool empty = wanted.root == crypto::Digest{};
    if (empty) {
        if (auto removed = remove_generation(options_.setup.data, generation); !removed) {
            begin_again_later(removed.error().message);
            return;
        }
    }
    auto store = open_generation(options_.setup, generation);
    if (!store) {
        if (store.error().code == Errc::corrupted) {
            (void)remove_generation(options_.setup.data, generation);
        }
        begin_again_later(store.error().message);
        return;
    }
    next_.store = std::move(*store);
    if (empty) {
        phase_ = Phase::opening;
        return;
    }
    auto builder = kvstore::StateBuilder::begin(*next_.store, options_.setup.checkpoints, wanted);
    if (!builder) {
        // A whole state that was never put in force, or what damage left of one: it is made again.
        next_ = OpenState{};
        if (builder.error().code == Errc::conflict || builder.error().code == Errc::corrupted) {
            (void)remove_generation(options_.setup.data, generation);
        }
        begin_again_later(builder.error().message);
        return;
    }
    builder_ = std::move(*builder);
    old_ = std::make_unique<OldState>(checkpoints_.get());
    FetchOptions options;
    options.self = options_.self;
    options.replicas = options_.replicas;
    options.salt = options_.setup.checkpoints.salt;
    options.buckets_per_request = 32;  // of a million records: 500, two requests' worth
    fetch_ = std::make_unique<StateFetch>(options, wanted, *builder_, *old_);
    fetch_->tick(milliseconds_of(Clock::now()));
    stale_told_ = false;
    phase_ = Phase::fetching;
    const std::lock_guard lock(mutex_);
    ++status_.transfers;
}

StateKeeper::Clock::time_point StateKeeper::fetch_step(Clock::time_point now) {
    fetch_->tick(milliseconds_of(now));
    bool more = true;
    while (more && Clock::now() < now + transfer_step) {
        more = fetch_->work();
    }
    follow_target();
    for (auto& [to, request] : fetch_->take_requests()) {
        tell_(AskPeer{to, std::move(request)});
    }
    for (const DroppedPeer& dropped : fetch_->take_dropped()) {
        spdlog::warn("event=transfer_peer_dropped peer={} why=\"{}\"", dropped.peer.value, dropped.why);
        const std::lock_guard lock(mutex_);
        ++status_.peers_dropped;
    }
    if (fetch_->stale() && !std::exchange(stale_told_, true)) {
        spdlog::warn(
            "event=transfer_stale checkpoint={} why=\"no peer has this checkpoint; a newer one is waited for\"",
            target_->checkpoint.height.value);
    }
    if (const auto& failed = fetch_->failed()) {
        const Error error = *failed;
        if (error.code == Errc::io) {
            fatal(fatal_code_of(error.code), "the state store cannot be written: " + error.message);
        }
        begin_again_later(error.message);
        if (error.code != Errc::disk_full) {
            (void)remove_generation(options_.setup.data, generation_ + 1);  // what was built is not what it should be
        }
        return again_at_;
    }
    if (fetch_->done()) {
        const FetchProgress progress = fetch_->progress();
        spdlog::info("event=transfer_whole checkpoint={} fetched={} local={} kept={} bytes={} late={} unasked={}",
                     target_->checkpoint.height.value, progress.records_fetched, progress.records_local,
                     progress.records_kept, progress.bytes, progress.late, progress.unasked);
        note_progress();
        fetch_.reset();
        builder_.reset();
        phase_ = Phase::opening;
        return now;
    }
    return more ? now : now + transfer_every;
}

void StateKeeper::open_rebuilt() {
    if (!next_.machine) {
        if (auto opened = open_machine(options_.setup, next_); !opened) {
            begin_again_later(opened.error().message);
            (void)remove_generation(options_.setup.data, generation_ + 1);
            return;
        }
    }
    // The state under the root holds the id of its block: a header of another block is a lie.
    const consensus::BlockRef block = next_.machine->executed_block();
    const bool genesis = target_->checkpoint.height.value == 0;
    if (block.height != target_->checkpoint.height ||
        (!genesis && block.id != consensus::header_id(options_.context, target_->block))) {
        spdlog::warn(
            "event=transfer_header_false checkpoint={} why=\"the header that came with it is of another block\"",
            target_->checkpoint.height.value);
        phase_ = Phase::waiting;
        again_at_ = Clock::time_point::max();  // for the same checkpoint with another header
        return;
    }
    phase_ = Phase::executing;
}

void StateKeeper::execute_step() {
    const auto blocks = execute_again(*next_.machine, log_, blocks_per_step);
    if (!blocks) {
        const Error& error = blocks.error();
        if (error.code == Errc::io) {
            fatal(fatal_code_of(error.code), "the state store cannot be written: " + error.message);
        }
        begin_again_later(error.message);
        if (error.code != Errc::disk_full) {
            (void)remove_generation(options_.setup.data, generation_ + 1);
        }
        return;
    }
    if (*blocks < blocks_per_step) {
        hand_over();
    }
}

void StateKeeper::hand_over() {
    old_.reset();
    checkpoints_.reset();
    phase_ = Phase::none;
    note_progress();
    tell_(StateRebuilt{std::exchange(next_, OpenState{}), *target_});
    // Until keep(): whatever is asked for now, the core that comes with the new state will ask for again.
    phase_ = Phase::handed_over;
}

void StateKeeper::note_progress() {
    static constexpr std::array names{"", "fetching", "opening", "executing again", "waiting", "installing"};
    const std::lock_guard lock(mutex_);
    status_.transferring = target_.has_value();
    status_.target = target_ ? target_->checkpoint.height : consensus::Height(0);
    status_.phase = names[static_cast<std::size_t>(phase_)];
    if (fetch_) {
        status_.progress = fetch_->progress();
    }
}

// ---- Steps

StateKeeper::Clock::time_point StateKeeper::step() {
    const auto now = Clock::now();
    if (!lost_) {
        return take_and_scrub(now);
    }
    auto next = now;
    switch (phase_) {
        case Phase::none:
        case Phase::handed_over: return now + look_every;
        case Phase::fetching: next = fetch_step(now); break;
        case Phase::opening: open_rebuilt(); break;
        case Phase::executing: execute_step(); break;
        case Phase::waiting:
            if (now < again_at_) {
                return std::min(again_at_, now + look_every);
            }
            begin_fetching();
            break;
    }
    note_progress();
    return next;
}

StateKeeper::Clock::time_point StateKeeper::take_and_scrub(Clock::time_point now) {
    if (!checkpoints_ || damage_told_) {
        return now + look_every;
    }
    const auto worked = checkpoints_->work(records_per_step);
    if (!worked) {
        if (worked.error().code == Errc::corrupted) {
            damaged(worked.error().message);
        } else if (worked.error().code == Errc::io) {
            fatal(fatal_code_of(worked.error().code), "the state store cannot be written: " + worked.error().message);
        }
        return now + look_every;  // a full disk is waited for
    }
    for (const kvstore::StateRoot& root : checkpoints_->roots()) {
        if (root.height > told_) {
            told_ = root.height;
            {
                const std::lock_guard lock(mutex_);
                status_.checkpoint = root.height;
            }
            tell_(CheckpointTaken{root});
        }
    }
    if (*worked) {
        return now;
    }
    scrub_pace_.look(&Clock::now, [this] { return scrub(); });
    return now + look_every;
}

ScrubPace::Step StateKeeper::scrub() {
    const auto scrubbed = checkpoints_->scrub(1);  // of up to a MiB: so that the pace is kept
    if (!scrubbed) {
        if (scrubbed.error().code == Errc::corrupted) {
            damaged(scrubbed.error().message);
        }
        return ScrubPace::Step::failed;
    }
    {
        const std::lock_guard lock(mutex_);
        status_.records_scrubbed += scrubbed->records;
        status_.scrubs += scrubbed->wrapped ? 1 : 0;
    }
    if (scrubbed->damage) {
        damaged(*scrubbed->damage);
        return ScrubPace::Step::failed;
    }
    return scrubbed->wrapped ? ScrubPace::Step::round_over : ScrubPace::Step::more;
}

KeeperStatus StateKeeper::status() const {
    const std::lock_guard lock(mutex_);
    return status_;
}

}  // namespace loyal::replica
