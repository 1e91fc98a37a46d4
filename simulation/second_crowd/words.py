"""Words for names, streets, mailboxes and firms of the second crowd. Written by hand, from no outside data."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


MALE = _words("""
    Agus Budi Andi Rizki Dedi Eko Hendra Joko Rudi Slamet Wahyu Yudi Bayu Arif Fajar Ilham Iqbal Reza Dimas Aditya
    Galih Hafiz Irfan Jefri Kurniawan Lukman Maulana Nugroho Oki Panji Rahmat Surya Teguh Umar Yusuf Zainal Fikri
    Fahmi Gilang Bagus Deni Doni Edi Feri Gunawan Heri Imam Johan Krisna Adi Bambang Cahyo Didik Erwin Firman Hari
    Indra Jaka Khairul Latif Mulyadi Nanang Purnomo Rian Sandi Taufik Vino Wawan Yoga Zaki Asep Ujang Dadang Cecep
    Tatang Ridwan Syahrul Alfian Aldi Rendi Robby Kevin Steven
""")

FEMALE = _words("""
    Siti Dewi Sri Rina Ani Fitri Nur Ayu Putri Rini Lestari Indah Wulan Yuni Dian Eka Ratna Maya Nita Lia Novi Intan
    Mega Tika Ria Susi Yanti Wati Endang Tuti Rahma Annisa Aisyah Nabila Salsa Zahra Khadijah Laras Melati Nadia
    Olivia Puspita Rahayu Sinta Tiara Umi Vina Widya Yulia Aulia Bunga Citra Desi Elsa Fani Gita Hana Ika Jihan
    Kartika Lina Mira Nisa Okta Puji Resti Sari Titin Umi Neneng Euis Iis Lilis Mawar Vera Cindy Jessica Angel
""")

LAST = _words("""
    Setiawan Santoso Wijaya Saputra Pratama Hidayat Kurniawan Nugroho Susanto Purnama Ramadhan Firmansyah Gunawan
    Hermawan Wibowo Prasetyo Utomo Suryadi Mulyono Suharto Rahman Hakim Fauzi Anwar Maulana Permana Nugraha Syahputra
    Iskandar Handoko Kusuma Perdana Putra Irawan Budiman Haryanto Sutrisno Supriyadi Yulianto Ardiansyah Febrianto
    Apriyanto Oktavian Mahendra Wicaksono Laksono Sugiarto Suherman Suparman Sukma Alamsyah Akbar Ibrahim Yusuf Ismail
    Basri Effendi Darmawan Kuswanto Triyono Subagyo Aziz Amin Zulkarnain
""")

LAST_FEMALE = _words("""
    Lestari Rahayu Wulandari Sari Puspitasari Handayani Anggraini Utami Permatasari Kusumawati Astuti Setyowati
    Oktaviani Maharani Fitriani Aprilia Ramadhani Nurhayati Safitri Kurniasih Novitasari Wahyuni Susanti Yuliana
    Hidayati Mulyani Agustina Rahmawati Aulia Azzahra Khasanah Hasanah Amelia Damayanti
""")

# Surnames that families pass on: Batak and Chinese ones.
CLANS = _words("""
    Siregar Nasution Harahap Lubis Simanjuntak Sihombing Hutagalung Situmorang Panjaitan Sinaga Manurung Tampubolon
    Ginting Sembiring Tarigan Hutapea Silalahi Saragih Purba Sitorus
""")

CHINESE = _words("""
    Tan Lim Wijaya Halim Salim Hartono Tanuwijaya Gunawan Santoso Susanto Kurniawan Chandra Liem Sutanto Widjaja Oei
    Angkasa Limanto Tjandra Kusuma
""")

BALINESE = _phrases("I Wayan|I Made|I Nyoman|I Ketut|I Gede|Ni Luh|Ni Made|Ni Kadek|I Kadek|Ni Wayan|I Komang")

ONE_NAME = _words("""
    Sutrisno Suparman Wagiman Sukardi Sumiati Kasmini Paijo Ngatini Sutarti Marsudi Sunarto Suyatno Rohmat Kusnadi
    Ponirah Sarinah Jumadi Warsito Tukiman Sulastri Mukhlis Rohani Saripah Nurdin Muslimah Rosidah
""")

# What people put into mailboxes.
NICKNAMES = _words("""
    aan abi abang bang bagas bocil boy cha cici dek dedek ady ndut gembul icha iky jepri kakak koko mamah bunda mas
    mimi neng niken nyak oppa papa qiqi reyhan sia tata tole uli uda vivi wawa yayan zee
""")

FREE_WORDS = _words("""
    kucing hitam ganteng imut cantik kece gamer ninja naruto persib viking bonek aremania slank bola otaku kpop army
    bts exo senja kopi hujan langit bintang pelangi hijrah muslim sholehah jagoan elang macan rider vespa ninja250
    supra jupiter satria mobile legend freefire pubg savage comel gokil santai rebahan galau
""")

# Names of quarters, districts and hamlets are put together from these.
NAME_STARTS = _words("""
    Suka Karang Sido Tanjung Kebon Sumber Cipta Marga Pondok Banjar Rawa Kali Wono Muara Tegal Cempaka Bojong Pasir
    Mulya Kedung
""")

NAME_ENDS = _words("""
    jaya mulya rejo sari agung asih baru wangi makmur maju anyar asri harja indah kerta tengah dadi luyu
""")

STREETS = _phrases(
    "Melati|Mawar|Kenanga|Anggrek|Dahlia|Cempaka|Flamboyan|Teratai|Bougenville|Kamboja|Merdeka|Pahlawan|Diponegoro|"
    "Sudirman|Ahmad Yani|Gatot Subroto|Imam Bonjol|Kartini|Hasanuddin|Pattimura|Teuku Umar|Cut Nyak Dien|"
    "Gajah Mada|Hayam Wuruk|Veteran|Pemuda|Sisingamangaraja|Otto Iskandardinata|Dewi Sartika|Ki Hajar Dewantara|"
    "Wahid Hasyim|Raya Bogor|Raya Serang|Kaliurang|Pramuka|Pendidikan|Sekolah|Masjid|Pasar|Stasiun|Puskesmas|"
    "Balai Desa|Kebon Kacang|Kebon Jeruk|Haji Nawi|H. Saleh|H. Mean|H. Taiman|KH. Ahmad Dahlan|Cendrawasih|Merpati|"
    "Rajawali|Garuda|Kutilang|Elang|Kancil|Manggis|Rambutan|Mangga|Durian|Jambu|Salak|Nangka|Delima|Apel|Jeruk|"
    "Sawo|Cemara|Pinus|Beringin|Mahoni|Akasia|Jati|Trembesi|Mataram|Majapahit|Sriwijaya|Pajajaran|Siliwangi|"
    "Brawijaya|Airlangga|Sultan Agung|Sultan Hasanudin|Pangeran Antasari|Kapten Tendean|Letjen Suprapto|MT Haryono|"
    "DI Panjaitan|S Parman|Bukit Barisan|Merapi|Semeru|Rinjani|Krakatau|Kelud|Bromo|Cisadane|Citarum|Musi|Brantas|"
    "Serayu|Progo|Mahakam|Kapuas|Barito|Tirtayasa|Swadaya|Gotong Royong|Karya|Bakti|Makmur|Sejahtera|Damai|Sentosa|"
    "Mulia|Bahagia|Harapan|Perjuangan|Perintis Kemerdekaan|Proklamasi|Kebangsaan|Persatuan|Nusantara|"
    "Lingkar Selatan|Ring Road Utara|Raya Pantura|Poros|Lintas Timur|Transmigrasi"
)

ESTATES = _phrases(
    "Griya Asri|Taman Harapan Indah|Villa Mutiara|Bumi Indah|Graha Permai|Puri Nirwana|Taman Sari Persada|"
    "Mutiara Gading|Pesona Asri|Griya Kencana|Bukit Permata|Permata Hijau Residence|Citra Raya|Vila Nusa Indah|"
    "Pondok Ungu Permai|Harapan Baru Regency|Duta Bumi|Metland Residence|Grand Nusa Indah|Telaga Kahuripan|"
    "Bumi Satria Kencana|Taman Cikarang Indah|Griya Bukit Jaya|Bali Resort|Puri Cendana|Kota Serang Baru|Perumnas|"
    "BTN Sweta|Bumi Tamalanrea Permai|Sawangan Permai|Alam Sutera Cluster|Green Garden|Cluster Emerald|"
    "Padma Residence"
)

APARTMENTS = (
    ("Kalibata City", "Jakarta Selatan"),
    ("Green Pramuka City", "Jakarta Pusat"),
    ("Bassura City", "Jakarta Timur"),
    ("Gading Nias", "Jakarta Utara"),
    ("Mediterania Garden", "Jakarta Barat"),
    ("Margonda Residence", "Depok"),
    ("Grand Kamala Lagoon", "Bekasi"),
    ("Gateway Ahmad Yani", "Bandung"),
    ("Puncak Kertajaya", "Surabaya"),
    ("Educity", "Surabaya"),
    ("Student Castle", "Sleman"),
    ("Skyhouse", "Tangerang"),
    ("Vidaview", "Makassar"),
    ("Treepark", "Tangerang Selatan"),
)
TOWERS = _words("A B C D Damar Borneo Cendana Ebony Flamboyan Gaharu Herbras Jasmine Mawar Lotus Tulip North South")

LANDMARKS = _phrases(
    "dekat masjid Al-Ikhlas|depan Indomaret|samping Alfamart|belakang SDN 03|pagar hijau|pagar hitam|"
    "rumah cat biru|sebelah warung bu Tini|dkt mushola|depan lapangan voli|masuk gang kecil|rumah pojok|"
    "sebelah bengkel|depan pos ronda|dekat puskesmas|samping lapangan|rmh tingkat|sebrang SMP 2|dekat pasar|"
    "depan konter pulsa|sblh laundry|pagar putih|ada pohon mangga"
)

BOARDING_HOUSES = _phrases(
    "Kost Putri Melati|Kos Pak Haji|Kost Eksklusif 88|Kost Bu Yati|Kos Biru|Rumah Kost Amanah|Kost Putra Barokah|"
    "Kosan Bu Neneng|Kost Griya Muslimah|Asrama Putri|Asrama Mahasiswa|Mess Karyawan|Ponpes Darul Ulum|"
    "Asrama Polri|Kost Wisma Indah|Pondokan Sakinah"
)

DESKS = _phrases(
    "Alfamart|Indomaret Point|Agen JNE|Agen J&T|PopBox|SiCepat Drop Point|Shopee Xpress Point|Agen Pos|"
    "Gerai Ambil Barang|Paxel Locker|Ninja Point|Anteraja Drop"
)

UNIVERSITIES = (  # name, host of its mailboxes, city
    ("Universitas Padjadjaran", "mail.unpad.ac.id", "Sumedang"),
    ("UGM", "mail.ugm.ac.id", "Sleman"),
    ("Universitas Brawijaya", "student.ub.ac.id", "Malang"),
    ("ITS", "student.its.ac.id", "Surabaya"),
    ("Universitas Indonesia", "ui.ac.id", "Depok"),
    ("Undip", "students.undip.ac.id", "Semarang"),
    ("Universitas Hasanuddin", "student.unhas.ac.id", "Makassar"),
    ("USU", "students.usu.ac.id", "Medan"),
    ("Telkom University", "student.telkomuniversity.ac.id", "Bandung"),
    ("Universitas Jember", "mail.unej.ac.id", "Jember"),
    ("Unsoed", "mhs.unsoed.ac.id", "Banyumas"),
    ("Universitas Lampung", "students.unila.ac.id", "Bandar Lampung"),
    ("UNS", "student.uns.ac.id", "Surakarta"),
    ("Universitas Riau", "student.unri.ac.id", "Pekanbaru"),
    ("UNP", "student.unp.ac.id", "Padang"),
)
FIRM_FIRST = _words("""
    Sinar Mega Karya Cipta Indo Nusantara Prima Multi Sentosa Surya Bina Mitra Global Anugerah Putra Tirta Gemilang
    Artha Graha Delta Astra Sumber Wahana Bumi
""")

FIRM_SECOND = _words("""
    Abadi Jaya Makmur Sejahtera Perkasa Mandiri Utama Persada Sakti Lestari Teknologi Logistik Pangan Tekstil Motor
    Elektronik Finance Solusi Data Medika Farma Garmen
""")
