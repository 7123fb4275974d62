#include "client/lab/runner.h"

#include <algorithm>
#include <future>
#include <numeric>
#include <thread>

#include <fmt/format.h>

#include "client/lab/cluster_service.h"
#include "client/lab/injector.h"
#include "client/lab/lab_cluster.h"
#include "client/lab/load.h"
#include "client/lab/lock_service.h"
#include "client/lab/watch.h"

namespace loyal::lab {

namespace {

constexpr auto pause = std::chrono::milliseconds(3);
constexpr double start_max_s = 20, settle_max_s = 10, settle_broken_max_s = 3, drain_spare_s = 2;
constexpr std::uint64_t read_timeout_ms = 4'000;
// The messages that a report shows are those around the first fault.
constexpr double trace_before_s = 0.03, trace_after_s = 0.8;

const char* name_of(consensus::FaultModel model) {
    return model == consensus::FaultModel::crash ? "crash" : "byzantine";
}

// The parts of one run, in the order in which they must end: clients first, whose threads hold the rest.
class ProcessRun {
 public:
    ProcessRun(const Scenario& scenario, const RunOptions& options, std::unique_ptr<LabCluster> cluster)
        : scenario_(scenario), options_(options), cluster_(std::move(cluster)) {}
    ~ProcessRun() { close_clients(); }
    ProcessRun(const ProcessRun&) = delete;
    ProcessRun& operator=(const ProcessRun&) = delete;

    [[nodiscard]] Result<Record> run();

 private:
    [[nodiscard]] Result<void> open_clients();
    [[nodiscard]] Result<void> start_processes();
    [[nodiscard]] bool await(const std::function<bool()>& condition, double seconds_max, const char* phase);
    void go(const char* phase);
    [[nodiscard]] bool waits_for_recovery() const;
    void drive();
    void perform_due();
    void drain();
    void settle();
    void read_back();
    void close_clients();
    void fill(Record& record);
    [[nodiscard]] std::vector<std::uint16_t> correct() const;
    [[nodiscard]] bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }
    void show(const std::string& phase);

    const Scenario& scenario_;
    const RunOptions& options_;
    std::unique_ptr<LabCluster> cluster_;
    std::unique_ptr<client::Client> admin_;
    std::unique_ptr<ClusterService> service_;
    std::unique_ptr<LockService> locks_;  // when compare-and-sets are done by locks
    RunClock clock_{RunClock::now_ns()};
    std::unique_ptr<Watch> watch_;
    std::unique_ptr<Injector> injector_;
    std::unique_ptr<Load> load_;
    std::size_t next_step_ = 0;
    bool traced_ = false;
    double shown_s_ = 0, end_s_ = 0;
    std::uint64_t shown_ops_ = 0;
    double rate_ = 0;
    std::string phase_;
    Record record_;
};

Result<void> ProcessRun::open_clients() {
    std::vector<std::unique_ptr<client::Client>> clients;
    // Two keys and two links to every replica: what is done to one client must not look like what happens to all.
    for (const char* name : {"default", "lab"}) {
        auto opened = cluster_->open_client(name, scenario_.workload.timeout_ms);
        if (!opened) {
            return tl::unexpected(opened.error());
        }
        clients.push_back(std::move(*opened));
    }
    service_ = std::make_unique<ClusterService>(std::move(clients));
    auto admin = cluster_->open_client("admin", 2'000);
    if (!admin) {
        return tl::unexpected(admin.error());
    }
    admin_ = std::move(*admin);
    return {};
}

Result<void> ProcessRun::start_processes() {
    for (std::uint16_t id = 0; id < scenario_.cluster.replicas; ++id) {
        if (auto started = cluster_->start(id); !started) {
            return started;
        }
    }
    if (auto opened = open_clients(); !opened) {
        return opened;
    }
    watch_ = std::make_unique<Watch>(*admin_, cluster_->cluster().membership(), clock_);
    // Every replica has a role, and an operation has gone through.
    const auto answered = std::make_shared<std::atomic<bool>>(false);
    kvstore::Range range;
    range.begin = bytes_of("key-000");
    service_->client(0).read(std::move(range), [answered](const client::ReadResult& result) { *answered = result.ok; });
    const bool up = await(
        [&] {
            const auto now = watch_->latest();
            return answered->load() && now.size() == scenario_.cluster.replicas &&
                   std::all_of(now.begin(), now.end(), [](const auto& entry) { return !entry.second.role.empty(); });
        },
        start_max_s, "starting");
    if (!up && !stopped()) {
        std::string words;
        for (const Death& death : cluster_->take_deaths()) {
            words += fmt::format("; replica {} ended: {}", death.replica, death.how);
            for (const std::string& line : cluster_->last_words(death.replica, 3)) {
                words += "\n  " + line;
            }
        }
        return fail(Errc::unavailable, fmt::format("the cluster did not serve within {} s{}", start_max_s, words));
    }
    return {};
}

bool ProcessRun::await(const std::function<bool()>& condition, double seconds_max, const char* phase) {
    const std::uint64_t deadline = RunClock::now_ns() + static_cast<std::uint64_t>(seconds_max * 1e9);
    while (!condition()) {
        if (RunClock::now_ns() >= deadline || stopped()) {
            return false;
        }
        watch_->look();
        if (injector_ != nullptr) {
            injector_->look_for_deaths();
        }
        show(phase);
        std::this_thread::sleep_for(pause);
    }
    return true;
}

// The run's clock starts when the cluster serves.
void ProcessRun::go(const char* phase) {
    clock_.start_ns = RunClock::now_ns();
    watch_ = std::make_unique<Watch>(*admin_, cluster_->cluster().membership(), clock_);
    injector_ = std::make_unique<Injector>(*cluster_, *admin_, *watch_, clock_);
    if (scenario_.workload.cas_by != CasBy::operation) {
        locks_ = std::make_unique<LockService>(*service_, scenario_.workload);
    }
    Service& served = locks_ ? static_cast<Service&>(*locks_) : *service_;
    load_ = std::make_unique<Load>(scenario_.workload, options_.seed, served, &RunClock::now_ns);
    phase_ = phase;
    watch_->add_event({0, Event::Kind::phase, std::nullopt, phase});
}

void ProcessRun::perform_due() {
    while (next_step_ < scenario_.steps.size() && scenario_.steps[next_step_].at_s <= clock_.now_s()) {
        const Step& step = scenario_.steps[next_step_++];
        injector_->perform(step);
        if (step.kind == Step::Kind::pause_holder && locks_) {
            locks_->pause_next_holder(step.pause_ms);
        }
    }
    const Times& times = scenario_.times;
    const double first = scenario_.steps.empty() ? times.before : scenario_.steps.front().at_s;
    if (!traced_ && clock_.now_s() >= first + trace_after_s) {
        traced_ = true;
        watch_->ask_trace(first - trace_before_s, first + trace_after_s);
    }
    const double now = clock_.now_s();
    const std::string phase = now < times.before ? "before" : now < times.before + times.during ? "during" : "after";
    if (phase != phase_) {
        phase_ = phase;
        watch_->add_event({now, Event::Kind::phase, std::nullopt, phase});
    }
}

// What the scenario promises is that operations go on within a time; the run does not end before that was seen or the
// time is over (a machine that stands still for a moment is no broken promise).
bool ProcessRun::waits_for_recovery() const {
    if (!scenario_.expect.live || scenario_.steps.empty()) {
        return false;
    }
    const double last_step_s = scenario_.steps.back().at_s;
    const auto last_step_ns = clock_.start_ns + static_cast<std::uint64_t>(last_step_s * 1e9);
    return load_->counts().last_asked_ok_ns < last_step_ns &&
           clock_.now_s() < last_step_s + scenario_.expect.recovery_max_s;
}

void ProcessRun::drive() {
    go("before");
    while ((clock_.now_s() < scenario_.times.total() || waits_for_recovery()) && !stopped()) {
        perform_due();
        load_->pump();
        watch_->look();
        injector_->look_for_deaths();
        show(phase_);
        std::this_thread::sleep_for(pause);
    }
    end_s_ = clock_.now_s();
    load_->close();
}

void ProcessRun::drain() {
    const double limit = static_cast<double>(scenario_.workload.timeout_ms) / 1000.0 + drain_spare_s;
    (void)await([&] { return load_->idle(); }, limit, "waiting for answers");
}

// What was broken is mended, who died comes back if the model lets it, so that it can be read what is there.
void ProcessRun::settle() {
    injector_->heal_all("the run is over: everything healed");
    if (scenario_.cluster.crash_mode != config::CrashMode::stop) {
        injector_->start_dead();
    }
    (void)await([&] { return injector_->settled(); }, settle_max_s, "healing");
}

void ProcessRun::read_back() {
    using Answer = std::promise<client::ReadResult>;
    std::vector<std::pair<std::string, std::future<client::ReadResult>>> reads;
    for (const std::string& key : load_->keys()) {
        const auto answer = std::make_shared<Answer>();
        kvstore::Range range;
        range.begin = bytes_of(key);
        reads.emplace_back(key, answer->get_future());
        service_->client(reads.size()).read(std::move(range), [answer](const client::ReadResult& result) {
            answer->set_value(result);
        });
    }
    const auto done = [&] {
        return std::all_of(reads.begin(), reads.end(), [](const auto& entry) {
            return entry.second.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
        });
    };
    (void)await(done, static_cast<double>(std::max(read_timeout_ms, scenario_.workload.timeout_ms)) / 1000.0 + 1,
                "reading back");
    for (auto& [key, future] : reads) {
        if (future.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
            continue;
        }
        const client::ReadResult result = future.get();
        if (!result.ok) {
            continue;
        }
        if (result.range.items.empty()) {
            record_.read_back[key] = std::nullopt;
            continue;
        }
        record_.read_back[key] = string_of(result.range.items.front().value);
        record_.versions[key] = result.range.items.front().version;
    }
    // Replicas that are late catch up; then all of them are seen at one height.
    const std::vector<std::uint16_t> ids = correct();
    // Where safety broke they may never meet again.
    const double patience = scenario_.expect.violated.empty() ? settle_max_s : settle_broken_max_s;
    (void)await([&] { return watch_->level(ids); }, patience, "comparing states");
    watch_->ask_evidence();
    (void)await([] { return false; }, 0.4, "asking for evidence");
}

std::vector<std::uint16_t> ProcessRun::correct() const {
    const std::vector<std::uint16_t> traitors = scenario_.traitors();
    const std::vector<std::uint16_t> dead = injector_->dead();
    std::vector<std::uint16_t> ids;
    for (std::uint16_t id = 0; id < scenario_.cluster.replicas; ++id) {
        const auto in = [id](const auto& list) { return std::find(list.begin(), list.end(), id) != list.end(); };
        if (!in(traitors) && !in(dead)) {
            ids.push_back(id);
        }
    }
    return ids;
}

void ProcessRun::show(const std::string& phase) {
    if (!options_.progress || load_ == nullptr) {
        return;
    }
    const double now = clock_.now_s();
    const std::uint64_t ops = load_->counts().ok;
    if (now - shown_s_ >= 0.5) {
        rate_ = static_cast<double>(ops - shown_ops_) / (now - shown_s_);
        shown_s_ = now;
        shown_ops_ = ops;
    }
    Progress progress;
    progress.at_s = std::min(now, scenario_.times.total());
    progress.total_s = scenario_.times.total();
    progress.phase = phase;
    progress.ops_per_s = rate_;
    progress.ops = ops;
    progress.broken = injector_->broken();
    progress.news = injector_->take_news();
    options_.progress(progress);
}

void ProcessRun::close_clients() {
    if (service_ != nullptr) {
        service_->close();
    }
    if (locks_ != nullptr) {
        locks_->close();  // what it waits for has ended with the clients
    }
    if (admin_ != nullptr) {
        admin_->close();
    }
}

void ProcessRun::fill(Record& record) {
    const consensus::Quorum quorum = scenario_.cluster.quorum();
    record.scenario = scenario_.name;
    record.seed = options_.seed;
    record.fault_model = name_of(scenario_.cluster.fault_model);
    record.n = static_cast<std::uint16_t>(quorum.n);
    record.f = static_cast<std::uint16_t>(quorum.f);
    record.q = static_cast<std::uint16_t>(quorum.q);
    record.traitors = scenario_.traitors();
    record.start_ns = clock_.start_ns;
    record.during_from_s = scenario_.times.before;
    record.during_to_s = scenario_.times.before + scenario_.times.during;
    record.end_s = end_s_;
    record.load_until_s = end_s_;
    record.operations = load_->take_operations();
    watch_->finish(record);
    for (std::string& failure : injector_->take_failures()) {
        record.failures.push_back(std::move(failure));
    }
    if (stopped()) {
        record.failures.emplace_back("it was stopped before its end");
    }
    if (next_step_ < scenario_.steps.size()) {
        record.failures.push_back(fmt::format("{} steps were not done", scenario_.steps.size() - next_step_));
    }
}

Result<Record> ProcessRun::run() {
    if (auto started = start_processes(); !started) {
        return tl::unexpected(started.error());
    }
    if (stopped()) {
        return fail(Errc::unavailable, "stopped before the run began");
    }
    drive();
    drain();
    settle();
    if (!stopped()) {
        read_back();
    }
    close_clients();  // the last completions run here
    fill(record_);
    cluster_->stop();
    return std::move(record_);
}

}  // namespace

Result<Record> run_on_processes(const Scenario& scenario, const RunOptions& options) {
    if (!scenario.runs_real || scenario.cluster.store != Store::loyal) {
        return fail(Errc::invalid_argument,
                    fmt::format("scenario {} is not for real processes; run it with --sim", scenario.name));
    }
    auto cluster = LabCluster::create(scenario, options);
    if (!cluster) {
        return tl::unexpected(cluster.error());
    }
    return ProcessRun(scenario, options, std::move(*cluster)).run();
}

}  // namespace loyal::lab
