#include "client/backup/take.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "client/backup/backup_file.h"
#include "client/backup/root_calculator.h"
#include "client/backup/spool.h"
#include "config/files.h"
#include "config/limits.h"
#include "consensus/verifier.h"
#include "crypto/canonical.h"
#include "crypto/identity.h"
#include "replica/state_transfer/state_fetch.h"

namespace loyal::backup {
namespace {

using consensus::CheckpointProof;
using consensus::ReplicaId;
using consensus::StateChunk;
using consensus::StateRequest;

constexpr std::uint64_t checkpoint_wait_ms = 3'000;
constexpr std::uint64_t checkpoint_again_ms = 500;
// Outstanding at once: half of what a replica holds for a client that reads slowly.
constexpr std::size_t answers_bytes_max = limits::client_outbound_bytes_max / 2;
constexpr auto pause = std::chrono::milliseconds(20);

// What callbacks bring, for the thread that waits. Outlives the backup: a late answer finds nobody.
class Mailbox {
 public:
    struct Part {
        ReplicaId from;
        StateRequest request;
        Result<StateChunk> chunk;
    };
    void put(Part part) {
        const std::lock_guard lock(mutex_);
        parts_.push_back(std::move(part));
        changed_.notify_one();
    }
    void put(ReplicaId from, Result<wire::CheckpointAnswer> answer) {
        const std::lock_guard lock(mutex_);
        answers_.emplace_back(from, std::move(answer));
        changed_.notify_one();
    }
    std::vector<Part> parts_within(std::chrono::milliseconds time) {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, time, [this] { return !parts_.empty(); });
        return std::exchange(parts_, {});
    }
    using Answer = std::pair<ReplicaId, Result<wire::CheckpointAnswer>>;
    std::vector<Answer> answers_within(std::chrono::milliseconds time) {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, time, [this] { return !answers_.empty(); });
        return std::exchange(answers_, {});
    }

 private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Part> parts_;
    std::vector<Answer> answers_;
};

std::uint64_t monotonic_ms() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

class Taking {
 public:
    Taking(const TakeOptions& options, Source& source)
        : options_(options),
          source_(source),
          membership_(options.cluster.membership()),
          verifier_(membership_, signatures_),
          salt_(kvstore::salt_of(options.cluster.salt_id())) {}

    [[nodiscard]] Result<TakeReport> run();

 private:
    [[nodiscard]] std::size_t replicas() const { return membership_.replicas.size(); }
    void note(const std::string& text);
    [[nodiscard]] Result<CheckpointProof> newest_checkpoint();
    [[nodiscard]] Error why_no_checkpoint() const;
    [[nodiscard]] Result<void> fetch_all();
    void send(replica::StateFetch& fetch);
    bool take_parts(replica::StateFetch& fetch);
    [[nodiscard]] Result<void> follow(replica::StateFetch& fetch);
    void show(const replica::StateFetch& fetch);
    [[nodiscard]] Result<void> write_file(const std::filesystem::path& partial);
    [[nodiscard]] Result<void> publish(const std::filesystem::path& partial) const;

    const TakeOptions& options_;
    Source& source_;
    const consensus::Membership membership_;
    const crypto::Ed25519Verifier signatures_;
    const consensus::MessageVerifier verifier_;
    const kvstore::Salt salt_;
    std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
    std::unique_ptr<Spool> spool_;
    CheckpointProof proof_;
    consensus::Height executed_max_;   // as anybody said
    std::optional<Error> last_error_;  // of a replica that could not be asked
    std::size_t denials_ = 0;
    std::uint64_t next_look_ms_ = 0;
    TakeReport report_;
};

void Taking::note(const std::string& text) {
    report_.notes.push_back(text);
    if (options_.on_note) {
        options_.on_note(text);
    }
}

// Of those that prove themselves the highest. Waits for everybody, but not long for the last ones.
Result<CheckpointProof> Taking::newest_checkpoint() {
    (void)mailbox_->answers_within(std::chrono::milliseconds(0));
    denials_ = 0;
    for (std::uint16_t id = 0; id < replicas(); ++id) {
        source_.checkpoint(ReplicaId(id), [mailbox = mailbox_, id](const Result<wire::CheckpointAnswer>& answer) {
            mailbox->put(ReplicaId(id), answer);
        });
    }
    std::optional<CheckpointProof> best;
    std::size_t answered = 0;
    const std::uint64_t until_ms = monotonic_ms() + checkpoint_wait_ms;
    while (answered < replicas() && (monotonic_ms() < until_ms)) {
        for (auto& [from, answer] : mailbox_->answers_within(pause)) {
            ++answered;
            if (!answer) {
                last_error_ = answer.error();
                denials_ += answer.error().code == Errc::permission ? 1U : 0U;
                continue;
            }
            executed_max_ = std::max(executed_max_, answer->executed);
            if (!answer->proof) {
                continue;
            }
            if (auto checked = verifier_.check_checkpoint(*answer->proof); !checked) {
                note(fmt::format("replica {} sent a certificate that does not verify ({}); going on without it",
                                 from.value, checked.error().message));
                continue;
            }
            if (!best || best->root().height < answer->proof->root().height) {
                best = std::move(*answer->proof);
            }
        }
    }
    if (!best) {
        return tl::unexpected(why_no_checkpoint());
    }
    return std::move(*best);
}

Error Taking::why_no_checkpoint() const {
    const std::uint64_t interval = membership_.checkpoint_interval;
    if (denials_ > 0) {
        return *last_error_;
    }
    if (interval == 0) {
        return {Errc::not_found,
                "this cluster takes no checkpoints (checkpoint_interval = 0), so there is nothing to back up that is "
                "proved; set it in cluster.toml, alike on every machine"};
    }
    if (last_error_ && executed_max_.value == 0) {
        return {Errc::unavailable, "no replica could be asked for a checkpoint: " + last_error_->message};
    }
    const std::uint64_t wanted = 2 * interval;
    const std::uint64_t missing = executed_max_.value < wanted ? wanted - executed_max_.value : 1;
    return {Errc::not_found,
            fmt::format("no checkpoint is stable yet: the first one is when block {} is committed, and {} more blocks "
                        "are needed for that (any writes do; checkpoint_interval in cluster.toml says how often). "
                        "Until then, `loyal export` copies keys and values, without a proof",
                        wanted, missing)};
}

void Taking::send(replica::StateFetch& fetch) {
    for (auto& [to, request] : fetch.take_requests()) {
        source_.part(to, request, [mailbox = mailbox_, to = to, request = request](const Result<StateChunk>& chunk) {
            mailbox->put(Mailbox::Part{to, request, chunk});
        });
    }
}

// True when something came that was of use or not.
bool Taking::take_parts(replica::StateFetch& fetch) {
    bool any = false;
    for (Mailbox::Part& part : mailbox_->parts_within(pause)) {
        any = any || part.chunk.has_value();
        if (part.chunk) {
            fetch.on_chunk(part.from, *part.chunk);
            continue;
        }
        last_error_ = part.chunk.error();
        // As if it had said that it has none: it is asked again later.
        fetch.on_chunk(part.from,
                       StateChunk{part.request.checkpoint, part.request.part, part.request.index, false, nullptr});
    }
    return any;
}

// The checkpoint is nowhere any more: the newest one instead.
Result<void> Taking::follow(replica::StateFetch& fetch) {
    if (monotonic_ms() < next_look_ms_) {
        return {};
    }
    next_look_ms_ = monotonic_ms() + checkpoint_again_ms;
    auto newer = newest_checkpoint();
    if (!newer || newer->root().height <= proof_.root().height) {
        return {};  // later, within the patience
    }
    note(fmt::format("the cluster went on from checkpoint {} to {}: fetching what differs", proof_.root().height.value,
                     newer->root().height.value));
    proof_ = std::move(*newer);
    fetch.want(proof_.root());
    return {};
}

void Taking::show(const replica::StateFetch& fetch) {
    if (!options_.on_progress) {
        return;
    }
    const replica::FetchProgress progress = fetch.progress();
    options_.on_progress({proof_.root().height,
                          static_cast<double>(progress.buckets_done) / static_cast<double>(progress.buckets_total),
                          false, progress.records_fetched, progress.bytes});
}

Result<void> Taking::fetch_all() {
    replica::FetchOptions fetch_options;
    fetch_options.self = ReplicaId(static_cast<std::uint16_t>(replicas()));  // nobody of them
    fetch_options.replicas = replicas();
    fetch_options.salt = salt_;
    fetch_options.peers.bytes_max = answers_bytes_max;
    replica::NoLocalState nothing;
    replica::StateFetch fetch(fetch_options, proof_.root(), *spool_, nothing);
    std::uint64_t last_progress_ms = monotonic_ms();
    while (!fetch.done() && !fetch.failed()) {
        fetch.tick(monotonic_ms());
        while (fetch.work()) {
            send(fetch);
        }
        send(fetch);
        const std::uint64_t bytes_before = fetch.progress().bytes;
        (void)take_parts(fetch);
        if (fetch.progress().bytes != bytes_before) {
            last_progress_ms = monotonic_ms();
        }
        for (const replica::DroppedPeer& dropped : fetch.take_dropped()) {
            note(fmt::format("replica {} sent {}; going on without it", dropped.peer.value, dropped.why));
        }
        if (fetch.stale()) {
            if (auto followed = follow(fetch); !followed) {
                return followed;
            }
        }
        show(fetch);
        if (monotonic_ms() - last_progress_ms > options_.patience_ms) {
            return fail(Errc::unavailable,
                        fmt::format("no part of checkpoint {} came for {} s{}", proof_.root().height.value,
                                    options_.patience_ms / 1000,
                                    last_error_ ? "; the last replica that was asked: " + last_error_->message : ""));
        }
    }
    if (fetch.failed()) {
        return tl::unexpected(*fetch.failed());
    }
    report_.fetched_bytes = fetch.progress().bytes;
    return {};
}

Result<void> Taking::write_file(const std::filesystem::path& partial) {
    auto made = BackupWriter::create(partial);
    if (!made) {
        return tl::unexpected(made.error());
    }
    BackupWriter& writer = **made;
    RootCalculator root(salt_);
    if (auto added = writer.add(SectionKind::cluster, view_of(options_.cluster_text)); !added) {
        return added;
    }
    if (auto added = writer.add(SectionKind::proof, consensus::encode_checkpoint_proof(proof_)); !added) {
        return added;
    }
    auto replayed = spool_->replay([&](ByteView piece) -> Result<void> {
        const auto records = kvstore::decode_records(piece);
        if (!records) {
            return fail(Errc::corrupted, "what was fetched does not read back: " + records.error().message);
        }
        for (const kvstore::StateRecord& record : *records) {
            if (auto taken = root.add(record); !taken) {
                return taken;
            }
        }
        return writer.add(SectionKind::records, piece);
    });
    if (!replayed) {
        return replayed;
    }
    report_.records = root.records();
    crypto::CanonicalWriter end;
    end.number(report_.records);
    if (auto added = writer.add(SectionKind::end, end.view()); !added) {
        return added;
    }
    if (root.finish() != proof_.root().root) {
        return fail(Errc::corrupted, "what was put together is not the state that the certificate is about");
    }
    auto finished = writer.finish();
    report_.file_bytes = writer.bytes();
    return finished;
}

Result<void> Taking::publish(const std::filesystem::path& partial) const {
    const int moved = options_.force
                          ? ::rename(partial.c_str(), options_.path.c_str())
                          : ::renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, options_.path.c_str(), RENAME_NOREPLACE);
    if (moved != 0) {
        return fail_errno("cannot make", options_.path, errno);
    }
    const std::filesystem::path folder = options_.path.parent_path();
    return sync_folder(folder.empty() ? "." : folder);
}

Result<TakeReport> Taking::run() {
    std::error_code ignored;
    if (!options_.force && std::filesystem::exists(std::filesystem::symlink_status(options_.path, ignored))) {
        return fail(Errc::conflict, options_.path.string() + " exists; name another file, or replace it with --force");
    }
    auto proof = newest_checkpoint();
    if (!proof) {
        return tl::unexpected(proof.error());
    }
    proof_ = std::move(*proof);
    auto spool = Spool::create(options_.path.string() + ".spool", salt_);
    if (!spool) {
        return tl::unexpected(spool.error());
    }
    spool_ = std::move(*spool);
    const std::filesystem::path partial = options_.path.string() + ".partial";
    std::filesystem::remove(partial, ignored);
    auto done = fetch_all().and_then([&] { return write_file(partial); }).and_then([&] { return publish(partial); });
    if (!done) {
        std::filesystem::remove(partial, ignored);
        return tl::unexpected(done.error());
    }
    report_.root = proof_.root();
    return std::move(report_);
}

}  // namespace

Result<TakeReport> take_backup(const TakeOptions& options, Source& source) {
    return Taking(options, source).run();
}

}  // namespace loyal::backup
