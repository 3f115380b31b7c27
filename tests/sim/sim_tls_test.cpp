// The simulated Ollama behind TLS.
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "fixture.hpp"

using namespace sim_test;

namespace {

template <class T, void (*Free)(T*)>
struct freer {
    void operator()(T* p) const { Free(p); }
};
template <class T, void (*Free)(T*)>
using owned = std::unique_ptr<T, freer<T, Free>>;

// A certificate of its own making for localhost, in files that go with it.
struct self_signed {
    self_signed()
    {
        owned<EVP_PKEY, EVP_PKEY_free> pair(EVP_EC_gen("P-256"));
        owned<X509, X509_free> made(X509_new());
        ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 1);
        X509_gmtime_adj(X509_getm_notBefore(made.get()), -60);
        X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
        X509_set_pubkey(made.get(), pair.get());
        auto* name = X509_get_subject_name(made.get());
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                   reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
        X509_set_issuer_name(made.get(), name);
        X509_sign(made.get(), pair.get(), EVP_sha256());
        write(cert, [&](FILE* to) { PEM_write_X509(to, made.get()); });
        write(key, [&](FILE* to) {
            PEM_write_PrivateKey(to, pair.get(), nullptr, nullptr, 0, nullptr, nullptr);
        });
    }
    ~self_signed()
    {
        ::unlink(cert.c_str());
        ::unlink(key.c_str());
    }

    template <class F>
    static void write(std::string& path, F f)
    {
        path = "/tmp/ollama-sim-XXXXXX";
        auto fd = ::mkstemp(path.data());
        REQUIRE(fd >= 0);
        auto* to = ::fdopen(fd, "w");
        f(to);
        ::fclose(to);
    }

    std::string cert;
    std::string key;
};

}  // namespace

TEST_CASE("streams and one-piece answers come through TLS, and a client that leaves is noticed")
{
    self_signed files;
    static self_signed* given;
    given = &files;
    fixture f({"m,load=0s,prompt=0s,rate=0,tokens=300"}, [](sim::settings& s) {
        s.tls_cert = given->cert;
        s.tls_key = given->key;
    });
    CHECK(f.server->url().starts_with("https://127.0.0.1:"));
    owned<SSL_CTX, SSL_CTX_free> context(SSL_CTX_new(TLS_client_method()));
    auto talk = [&](std::string_view body, bool to_the_end) {
        auto fd = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(f.port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
        owned<SSL, SSL_free> tls(SSL_new(context.get()));
        SSL_set_fd(tls.get(), fd);
        REQUIRE(SSL_connect(tls.get()) == 1);
        auto request =
            "POST /api/generate HTTP/1.1\r\nHost: localhost\r\nConnection: "
            "close\r\nContent-Length: " +
            std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
        SSL_write(tls.get(), request.data(), static_cast<int>(request.size()));
        std::string got;
        char buffer[4096];
        int n;
        while ((n = SSL_read(tls.get(), buffer, sizeof buffer)) > 0) {
            got.append(buffer, static_cast<std::size_t>(n));
            if (!to_the_end)
                break;
        }
        ::close(fd);
        return got;
    };
    auto stream = talk("{\"model\":\"m\",\"prompt\":\"x\"}", true);
    CHECK(stream.ends_with("0\r\n\r\n"));
    CHECK(stream.find("\"eval_count\":300") != std::string::npos);
    auto whole = talk("{\"model\":\"m\",\"prompt\":\"x\",\"stream\":false}", true);
    CHECK(whole.find("\"eval_count\":300") != std::string::npos);
    talk("{\"model\":\"m\",\"prompt\":\"x\",\"options\":{\"num_predict\":100000000}}", false);
    CHECK(soon([&] { return f.stats()["aborts"]["count"] == 1; }));
    CHECK(soon([&] { return f.stats()["running"] == 0; }));
    CHECK(soon([&] { return f.stats()["connections"]["open"] == 0; }));
}
