#include "client/lab/injector.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace loyal::lab {

namespace {

constexpr int refusal_timeout_ms = 5'000;

std::string joined(const std::vector<std::string>& words, const char* between) {
    return fmt::format("{}", fmt::join(words, between));
}

bool crashes(const replica::FaultSpec& fault) {
    return fault.kind == replica::FaultSpec::Kind::crash_stop || fault.kind == replica::FaultSpec::Kind::crash_recovery;
}

}  // namespace

struct Injector::Shared {
    std::mutex mutex;
    std::vector<std::string> failures;
    std::size_t awaited = 0;
};

Injector::Injector(LabCluster& cluster, client::Client& admin, Watch& watch, RunClock clock)
    : cluster_(cluster),
      admin_(admin),
      watch_(watch),
      clock_(clock),
      replicas_(static_cast<std::uint16_t>(cluster.cluster().replicas.size())),
      shared_(std::make_shared<Shared>()) {}

std::vector<std::uint16_t> Injector::who(const Target& target) const {
    switch (target.role) {
        case Target::Role::ids: return target.ids;
        case Target::Role::primary: return {watch_.primary()};
        case Target::Role::dead: return {dead_.begin(), dead_.end()};
        case Target::Role::backup: break;
    }
    const std::uint16_t primary = watch_.primary();
    for (std::uint16_t id = 0; id < replicas_; ++id) {
        if (id != primary && !dead_.contains(id)) {
            return {id};
        }
    }
    return {};
}

void Injector::tell(std::uint16_t id, const std::string& line) {
    if (dead_.contains(id)) {
        return;  // nothing of it survives a restart, either
    }
    {
        const std::lock_guard lock(shared_->mutex);
        ++shared_->awaited;
    }
    admin_.control(consensus::ReplicaId(id), line, [shared = shared_, id, line](const Result<std::string>& answer) {
        const std::lock_guard lock(shared->mutex);
        --shared->awaited;
        // A replica that is told to end may end before it answers.
        const bool ends = line.starts_with("fault crash");
        if (!answer && !(ends && answer.error().code != Errc::invalid_argument)) {
            shared->failures.push_back(
                fmt::format("replica {} did not take \"{}\": {}", id, line, answer.error().message));
        }
    });
}

void Injector::perform(const Step& step) {
    const std::vector<std::uint16_t> ids = who(step.target);
    const bool bad = is_injection(step);
    std::optional<std::uint16_t> one;
    if (ids.size() == 1) {
        one = ids.front();
    }
    switch (step.kind) {
        case Step::Kind::fault:
            note(bad ? Event::Kind::inject : Event::Kind::mend, one, step.text);
            for (const std::uint16_t id : ids) {
                tell(id, "fault " + to_string(step.fault));
                clear_broken(fmt::format("fault {}", id));
                if (bad) {
                    set_broken(fmt::format("fault {}", id), fmt::format("replica {}: {}", id, to_string(step.fault)));
                }
                if (crashes(step.fault)) {
                    told_to_crash_.insert(id);
                }
            }
            break;
        case Step::Kind::net: perform_net(step); break;
        case Step::Kind::net_heal:
            note(Event::Kind::mend, std::nullopt, step.text);
            for (std::uint16_t id = 0; id < replicas_; ++id) {
                tell(id, "net heal");
            }
            clear_broken("net");
            break;
        case Step::Kind::clock:
        case Step::Kind::disk: {
            const std::string device = name_of(step.kind);
            note(bad ? Event::Kind::inject : Event::Kind::mend, one, step.text);
            for (const std::uint16_t id : ids) {
                tell(id, device + " " + step.line);
                clear_broken(fmt::format("{} {}", device, id));
                if (bad) {
                    set_broken(fmt::format("{} {}", device, id),
                               fmt::format("replica {}: {} {}", id, device, step.line));
                    if (step.kind == Step::Kind::disk) {
                        told_to_crash_.insert(id);  // it must not go on without its disk
                    }
                }
            }
            break;
        }
        case Step::Kind::pause:
            note(Event::Kind::inject, one, step.text);
            for (const std::uint16_t id : ids) {
                tell(id, fmt::format("pause {}ms", step.pause_ms));
                set_broken(fmt::format("pause {}", id), fmt::format("replica {}: paused", id));
                paused_until_s_[fmt::format("pause {}", id)] =
                    clock_.now_s() + static_cast<double>(step.pause_ms) / 1000.0;
            }
            break;
        case Step::Kind::kill:
        case Step::Kind::power_cut: kill(ids); break;
        case Step::Kind::lose_disk:
        case Step::Kind::roll_back_disk: kill(ids); [[fallthrough]];
        case Step::Kind::save_disk:
            for (const std::uint16_t id : ids) {
                change_disk(step, id);
            }
            break;
        case Step::Kind::restart:
            for (const std::uint16_t id : ids) {
                start(id);
            }
            break;
        case Step::Kind::expect_restart_refused:
            for (const std::uint16_t id : ids) {
                expect_refusal(id);
            }
            break;
        case Step::Kind::pause_holder: note(Event::Kind::inject, std::nullopt, step.text); break;  // the runner does it
        case Step::Kind::heal: heal_all(step.text); break;
    }
}

void Injector::perform_net(const Step& step) {
    note(Event::Kind::inject, std::nullopt, step.text);
    for (const Links& links : step.links) {
        for (const std::uint16_t from : who(links.from)) {
            if (links.to_clients) {
                tell(from, "net to=clients " + step.line);
                continue;
            }
            std::vector<std::string> to;
            for (const std::uint16_t id : links.to) {
                if (id != from) {
                    to.push_back(std::to_string(id));
                }
            }
            if (!to.empty()) {
                tell(from, fmt::format("net to={} {}", joined(to, ","), step.line));
            }
        }
    }
    set_broken("net " + step.text, step.text);
}

void Injector::kill(const std::vector<std::uint16_t>& ids) {
    std::vector<std::uint16_t> running;
    std::copy_if(ids.begin(), ids.end(), std::back_inserter(running),
                 [this](std::uint16_t id) { return cluster_.running(id); });
    cluster_.kill_at_once(running);
    for (const std::uint16_t id : running) {
        dead_.insert(id);
        note(Event::Kind::crash, id, fmt::format("replica {} was killed (kill -9)", id));
        set_broken(fmt::format("dead {}", id), fmt::format("replica {}: dead", id));
    }
}

void Injector::change_disk(const Step& step, std::uint16_t id) {
    const Result<void> done = step.kind == Step::Kind::lose_disk   ? cluster_.lose_disk(id)
                              : step.kind == Step::Kind::save_disk ? cluster_.save_disk(id)
                                                                   : cluster_.roll_back_disk(id);
    if (!done) {
        failure(fmt::format("replica {}: {}", id, done.error().message));
        return;
    }
    const char* what = step.kind == Step::Kind::lose_disk   ? "its disk is lost"
                       : step.kind == Step::Kind::save_disk ? "a copy of its disk was taken"
                                                            : "its disk is an old copy again";
    note(step.kind == Step::Kind::save_disk ? Event::Kind::note : Event::Kind::inject, id,
         fmt::format("replica {}: {}", id, what));
}

void Injector::start(std::uint16_t id) {
    if (cluster_.running(id)) {
        failure(fmt::format("replica {} was to be started, but it runs", id));
        return;
    }
    if (const auto started = cluster_.start(id); !started) {
        failure(fmt::format("replica {} cannot be started: {}", id, started.error().message));
        return;
    }
    dead_.erase(id);
    clear_broken(fmt::format("dead {}", id));
    // What was injected into the process ended with it.
    for (const char* what : {"fault", "clock", "disk"}) {
        clear_broken(fmt::format("{} {}", what, id));
    }
    note(Event::Kind::restart, id, fmt::format("replica {} was started again", id));
}

// A replica of a crash-stop cluster must not come back, and must say why.
void Injector::expect_refusal(std::uint16_t id) {
    if (const auto started = cluster_.start(id); !started) {
        failure(fmt::format("replica {} cannot be started: {}", id, started.error().message));
        return;
    }
    const std::optional<std::string> how = cluster_.wait_for_end(id, refusal_timeout_ms);
    if (!how) {
        failure(fmt::format("replica {} was started again and runs, but its restart had to be refused", id));
        cluster_.kill(id);
        return;
    }
    const std::vector<std::string> words = cluster_.last_words(id, 1);
    note(Event::Kind::note, id,
         fmt::format("replica {} refused to start again ({}): {}", id, *how, words.empty() ? "" : words.back()));
    if (*how == "exit code 0") {
        failure(fmt::format("replica {} refused its restart, but with exit code 0", id));
    }
}

void Injector::look_for_deaths() {
    const double now = clock_.now_s();
    for (auto entry = paused_until_s_.begin(); entry != paused_until_s_.end();) {
        if (entry->second <= now) {
            clear_broken(entry->first);
            note(Event::Kind::mend, std::nullopt, fmt::format("replica {} goes on", entry->first.substr(6)));
            entry = paused_until_s_.erase(entry);
        } else {
            ++entry;
        }
    }
    for (const Death& death : cluster_.take_deaths()) {
        dead_.insert(death.replica);
        set_broken(fmt::format("dead {}", death.replica), fmt::format("replica {}: dead", death.replica));
        note(Event::Kind::crash, death.replica, fmt::format("replica {} ended: {}", death.replica, death.how));
        if (!told_to_crash_.contains(death.replica)) {
            failure(fmt::format("replica {} died although nobody ended it: {}; its last words:\n{}", death.replica,
                                death.how, joined(cluster_.last_words(death.replica, 5), "\n")));
        }
    }
}

void Injector::heal_all(const std::string& why) {
    note(Event::Kind::mend, std::nullopt, why);
    for (std::uint16_t id = 0; id < replicas_; ++id) {
        if (broken_.contains(fmt::format("fault {}", id))) {
            tell(id, "fault none");
        }
        for (const char* device : {"clock", "disk"}) {
            if (broken_.contains(fmt::format("{} {}", device, id))) {
                tell(id, fmt::format("{} mend", device));
            }
        }
        const bool net = std::any_of(broken_.begin(), broken_.end(),
                                     [](const auto& entry) { return entry.first.starts_with("net "); });
        if (net) {
            tell(id, "net heal");
        }
    }
    for (const char* what : {"fault ", "clock ", "disk ", "net "}) {
        clear_broken(what);
    }
}

void Injector::start_dead() {
    const std::set<std::uint16_t> ids = dead_;
    for (const std::uint16_t id : ids) {
        start(id);
    }
}

std::vector<std::string> Injector::broken() const {
    std::vector<std::string> all;
    for (const auto& [what, text] : broken_) {
        all.push_back(text);
    }
    return all;
}

std::vector<std::uint16_t> Injector::dead() const {
    return {dead_.begin(), dead_.end()};
}

std::vector<std::string> Injector::take_failures() {
    const std::lock_guard lock(shared_->mutex);
    return std::exchange(shared_->failures, {});
}

std::string Injector::take_news() {
    return std::exchange(news_, {});
}

bool Injector::settled() const {
    const std::lock_guard lock(shared_->mutex);
    return shared_->awaited == 0;
}

void Injector::note(Event::Kind kind, std::optional<std::uint16_t> replica, const std::string& text) {
    watch_.add_event({clock_.now_s(), kind, replica, text});
    news_ += (news_.empty() ? "" : "; ") + text;
}

void Injector::failure(const std::string& text) {
    const std::lock_guard lock(shared_->mutex);
    shared_->failures.push_back(text);
}

void Injector::set_broken(const std::string& what, const std::string& text) {
    broken_.insert_or_assign(what, text);
}

void Injector::clear_broken(const std::string& prefix) {
    std::erase_if(broken_, [&](const auto& entry) {
        return prefix.back() == ' ' || prefix == "net" ? entry.first.starts_with(prefix) : entry.first == prefix;
    });
}

}  // namespace loyal::lab
